"""The steps: what is reported, saved and registered, and what is refused. One real training serves all tests here."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from mlpatterns.metadata import DTYPES
from mlpatterns.registry.files import load_metadata, verify
from mlpatterns.settings import Settings
from mlpatterns.training import MODELS, TRAININGS, Options, Progress, TrainingResult, run
from mlpatterns.training.datasets import iris
from mlpatterns.training.export import export_sklearn
from mlpatterns.training.parity import run_onnx
from mlpatterns.training.steps import STEPS, train
from mlpatterns.user_errors import MissingExtra, UnknownName, UserError

NAME = "iris_sklearn_svc"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, list[Progress]]:
    reports: list[Progress] = []
    result = run(NAME, home=tmp_path_factory.mktemp("home"), options={"test_size": 0.3}, report=reports.append)
    return result, reports


@pytest.fixture(scope="module")
def result(trained: tuple[TrainingResult, list[Progress]]) -> TrainingResult:
    return trained[0]


def saved(result: TrainingResult, name: str) -> Any:
    return json.loads((result.folder / name).read_bytes())


def test_every_step_is_reported_as_it_begins_and_then_that_all_is_done(
    trained: tuple[TrainingResult, list[Progress]],
) -> None:
    assert [report.step for report in trained[1]] == [*STEPS, "done"]
    assert [report.done for report in trained[1]] == list(range(len(STEPS) + 1))


class Watching:
    """Notes how many threads the libraries of linear algebra may take while it is fitted."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def fit(self, rows: Any, classes: Any) -> Any:
        self.threads.update(each["num_threads"] for each in threadpool_info())
        return LogisticRegression().fit(rows, classes)


def test_it_is_fitted_in_one_thread_so_that_the_number_of_cpus_changes_no_digit(tmp_path: Path) -> None:
    estimator = Watching()
    with threadpool_limits(limits=2):
        train(replace(TRAININGS["digits_fast"], estimator=lambda _: estimator), Options(), Settings(home=tmp_path))
    assert estimator.threads == {1}


def test_the_result_tells_version_scores_and_parity(result: TrainingResult) -> None:
    assert (result.name, result.version, result.champion, result.dataset) == (NAME, 1, True, "iris")
    assert result.metrics["accuracy"] > 0.9
    assert result.parity.holds
    assert result.parity.rows == 45
    assert np.sum(result.metrics["confusion"]) == 45


def test_the_folder_is_whole_and_its_model_is_the_one_that_was_hashed(result: TrainingResult) -> None:
    manifest = verify(result.folder)
    names = {"model.onnx", "metadata.json", "profile.json", "golden.json", "training.json"}
    assert set(manifest.files) == names
    assert hashlib.sha256((result.folder / "model.onnx").read_bytes()).hexdigest() == result.sha256


def test_the_metadata_names_columns_labels_and_a_sample(result: TrainingResult) -> None:
    metadata = load_metadata(result.folder / "metadata.json")
    assert metadata.inputs[0].fields == ("sepal_length", "sepal_width", "petal_length", "petal_width")
    assert metadata.labels == ("setosa", "versicolor", "virginica")
    assert (metadata.platform, metadata.primary_output) == ("onnxruntime_onnx", "probabilities")
    assert metadata.sample is not None
    assert metadata.sample["input"].tolist() == np.array([[5.1, 3.5, 1.4, 0.2]], np.float32).tolist()


def test_the_graph_takes_and_gives_what_the_metadata_says(result: TrainingResult) -> None:
    graph = onnx.load(result.folder / "model.onnx").graph
    assert [value.name for value in graph.input] == ["input"]
    assert [value.name for value in graph.output] == ["label", "probabilities"]
    answers = run_onnx((result.folder / "model.onnx").read_bytes(), {"input": iris().x[:7]})
    kinds = {name: (str(value.dtype), value.shape) for name, value in answers.items()}
    assert kinds == {"label": ("int64", (7,)), "probabilities": ("float32", (7, 3))}
    assert np.allclose(answers["probabilities"].sum(axis=1), 1, atol=1e-6)


def test_the_golden_set_is_what_the_model_answers_on_rows_of_every_class(result: TrainingResult) -> None:
    golden = saved(result, "golden.json")
    inputs = np.array(golden["inputs"]["input"], dtype=np.float32)
    answers = run_onnx((result.folder / "model.onnx").read_bytes(), {"input": inputs})
    assert len(inputs) >= 20
    assert set(golden["outputs"]["label"]) == {0, 1, 2}
    assert answers["label"].tolist() == golden["outputs"]["label"]
    assert np.abs(answers["probabilities"] - golden["outputs"]["probabilities"]).max() <= golden["tolerance"]


def test_the_profile_is_that_of_the_rows_trained_on(result: TrainingResult) -> None:
    profile = saved(result, "profile.json")
    assert (profile["rows"], profile["classes"]) == (105, {"setosa": 35, "versicolor": 35, "virginica": 35})
    assert profile["fields"][0]["name"] == "sepal_length"


def test_the_record_holds_what_a_later_reader_needs_to_repeat_it(result: TrainingResult) -> None:
    record = saved(result, "training.json")
    assert record["model_sha256"] == result.sha256
    assert (record["parameters"]["test_size"], record["parameters"]["seed"]) == (0.3, 0)
    assert "SVC(random_state=0)" in record["parameters"]["estimator"]
    assert record["dataset"]["sha256"] == result.dataset_sha256
    assert record["libraries"]["scikit-learn"]
    assert record["metrics"]["accuracy"] == result.metrics["accuracy"]


def test_a_name_that_is_no_training_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'iris_sklearn_svc'"):
        run("iris_sklearn_svm", home=tmp_path)


def test_a_bad_option_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test_size must lie between"):
        run(NAME, home=tmp_path, options={"test_size": 1.5})
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_answers_otherwise_than_its_estimator_is_not_registered(tmp_path: Path) -> None:
    def liar(_seed: int) -> Any:
        estimator = LogisticRegression()
        estimator.predict_proba = lambda x: LogisticRegression.predict_proba(estimator, x) + 0.01
        return estimator

    training = replace(TRAININGS[NAME], estimator=liar, export=export_sklearn)
    with pytest.raises(UserError, match=r"is not registered: it differs from the trained one by 0\.01 "):
        train(training, Options(), Settings(home=tmp_path, registry=f"sqlite:///{tmp_path / 'registry.db'}"))
    assert not (tmp_path / "artifacts").exists()


def test_a_later_training_only_registers_and_one_that_is_far_worse_is_not_promoted(tmp_path: Path) -> None:
    """Takes more than two seconds: it trains four times."""
    settings = Settings(home=tmp_path, registry=f"sqlite:///{tmp_path / 'registry.db'}")

    def trained_as(accuracy: float, *, promote: bool = False) -> TrainingResult:
        training = replace(TRAININGS[NAME], metrics=lambda *_: {"accuracy": accuracy})
        return train(training, Options(), settings, promote=promote)

    assert trained_as(0.96).champion
    later = trained_as(0.71)
    sentence = f"accuracy 0.71 is far below the champion's 0.96 ({NAME}:1)"
    assert (later.version, later.champion, later.released, later.behind, later.refused) == (2, False, 1, sentence, "")
    asked = trained_as(0.71, promote=True)
    assert (asked.version, asked.champion, asked.released, asked.refused) == (3, False, 1, sentence)
    good = trained_as(0.93, promote=True)
    assert (good.version, good.champion, good.released, good.behind, good.refused) == (4, True, 4, "", "")


def test_a_registry_that_is_down_is_known_before_the_work(tmp_path: Path) -> None:
    training = replace(TRAININGS[NAME], load=lambda: pytest.fail("it began to work"))
    with pytest.raises(UserError, match=r"^the registry at postgresql://ann:\*\*\*@127\.0\.0\.1:1/m cannot be used"):
        train(training, Options(), Settings(home=tmp_path, registry="postgresql://ann:s3cret@127.0.0.1:1/m"))


def test_without_skl2onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(MissingExtra, match=r"mlpatterns\[train\]"):
        TRAININGS[NAME].export(None, None, (), name=NAME)


def test_importing_training_imports_none_of_its_libraries() -> None:
    code = "import sys, mlpatterns.training; print({'sklearn', 'skl2onnx', 'onnx', 'sqlalchemy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---- names -------------------------------------------------------------------------------------------------------


def test_a_model_is_trained_by_its_own_name_too(tmp_path: Path) -> None:
    by_option = run("iris_binary", home=tmp_path, options={"target_iris": "virginica"})
    by_name = run("iris_binary_virginica", home=tmp_path)
    assert [one.name for one in (by_option, by_name)] == ["iris_binary_virginica"] * 2
    assert (by_name.version, by_name.sha256) == (2, by_option.sha256)
    record = saved(by_name, "training.json")
    assert (record["training"], record["model"]) == ("iris_binary", "iris_binary_virginica")
    assert record["parameters"]["target_iris"] == "virginica"
    assert load_metadata(by_name.folder / "metadata.json").labels == ("virginica", "other")


def test_a_models_name_and_another_choice_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is made with target_iris setosa; train iris_binary to choose another"):
        run("iris_binary_setosa", home=tmp_path, options={"target_iris": "virginica"})
    assert list(tmp_path.iterdir()) == []


# What is said of the models of digits.
ACCURACY = {
    "digits_fast": (0.90, 0.95), "digits_accurate": (0.98, 1.0), "digits_low": (0.97, 1.0), "digits_high": (0.97, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_training_saves_all_that_belongs_to_a_model_and_names_what_the_graph_gives(
    name: str, tmp_path: Path
) -> None:
    result = run(name, home=tmp_path)
    assert (result.name, result.parity.holds) == (name, True)
    verify(result.folder)
    metadata = load_metadata(result.folder / "metadata.json")
    data = MODELS[name][0].load()
    answers = run_onnx((result.folder / "model.onnx").read_bytes(), {"input": data.x[:7]})
    assert {spec.name: (DTYPES[spec.datatype], (7, *spec.shape[1:])) for spec in metadata.outputs} == {
        key: (value.dtype, value.shape) for key, value in answers.items()
    }
    golden = saved(result, "golden.json")
    inputs = np.array(golden["inputs"]["input"], np.float32)
    for key, value in run_onnx((result.folder / "model.onnx").read_bytes(), {"input": inputs}).items():
        np.testing.assert_array_equal(value, np.array(golden["outputs"][key], value.dtype))
    least, most = ACCURACY.get(name, (0.0, 1.0))
    assert least <= result.metrics.get("accuracy", 1.0) <= most
    assert saved(result, "profile.json")["rows"] == int(0.7 * len(data.x) + 1e-6)
    assert (result.folder / "model.onnx").stat().st_size < (50_000 if data.name == "iris" else 2**20)
