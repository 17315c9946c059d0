"""The Dockerfile: what it says of labels is read as it was meant."""

from __future__ import annotations

from mlpatterns.scaffold.containerfile import of_a_project, of_wheels


def text(labels: dict[str, str]) -> str:
    return of_wheels("pip-1.whl", 5, base="debian:own", file="shop.py", labels=labels)


def test_what_is_put_together_names_base_file_installer_and_time() -> None:
    made = text({})
    assert made.startswith("ARG BASE=debian:own\n")
    assert 'CMD ["mlpatterns", "run", "shop.py"]' in made
    assert "wheels/pip-1.whl/pip install --no-index" in made
    assert "--date=@5 " in made
    assert "%%" not in made + of_a_project()  # no place is left open


def test_a_label_is_text_and_nothing_else() -> None:
    made = text({"two": 'a "b" \\ $HOME\nRUN evil', "one": "1"})
    assert '"one"="1" \\\n      "two"="a \\"b\\" \\\\ \\$HOME RUN evil"\n' in made
    assert not [line for line in made.splitlines() if line.startswith("RUN evil")]


def test_a_project_asks_an_index_and_an_image_asks_none() -> None:
    assert "--no-index" not in of_a_project()
    assert '"${MLPATTERNS}"' in of_a_project()
    assert "${MLPATTERNS}" not in text({})
