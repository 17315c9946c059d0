"""The cache of the service: it answers a repeated image, and never with the answer to another image."""

from __future__ import annotations

import asyncio

from app import app
from conftest import base64, png

from mlpatterns.testing import client


def asked(*images, headers=None, path="/predict"):
    """(state of the cache, answer) for each image, sent one after another to one service."""

    async def main():
        async with client(app) as http:
            answers = [await http.post(path, json={"data": image}, headers=headers) for image in images]
            return [(answer.headers.get("x-mlp-cache"), answer.json()) for answer in answers]

    return asyncio.run(main())


def test_an_image_that_came_before_is_answered_from_the_cache_with_the_same_answer(digits):
    one, other = (base64(png(image)) for _, image in digits[:2])
    (first, a), (second, b), (third, c) = asked(one, one, other)
    assert (first, second, third) == ("miss", "hit", "miss")
    assert a == b != c


def test_the_label_of_an_image_and_its_probabilities_are_one_answer(digits):
    digit, image = digits[5]

    async def main():
        async with client(app) as http:
            await http.post("/predict", json={"data": base64(png(image))})
            answer = await http.post("/predict/label", json={"data": base64(png(image))})
            return answer.headers["x-mlp-cache"], answer.json()

    assert asyncio.run(main()) == ("hit", {"prediction": digit})


def test_who_wants_the_models_own_answer_gets_it(digits):
    image = base64(png(digits[0][1]))
    assert {state for state, _ in asked(image, image, headers={"cache-control": "no-cache"})} == {"bypass"}


def test_a_broken_image_stays_broken_and_its_error_is_not_kept(digits):
    broken = base64(png(digits[0][1])[:60])
    answers = asked(broken, broken)
    assert [state for state, _ in answers] == [None, None]
    assert all("damaged" in answer["error"] for _, answer in answers)


def test_a_cache_in_a_file_outlives_the_service(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("MLPATTERNS_CACHE", f"sqlite:///{tmp_path / 'cache.db'}")
    image = base64(png(digits[4][1]))
    ((state, answer),) = asked(image)
    assert state == "miss"
    # A new service can hit only in the file. The cache gives up on a slow look-up, so only one of five tries must hit.
    assert ("hit", answer) in [asked(image)[0] for _ in range(5)]


def test_a_store_that_is_dead_fails_no_request(digits, monkeypatch):
    monkeypatch.setenv("MLPATTERNS_CACHE", "sqlite:////dev/null/cache.db")
    images = [base64(png(image)) for _, image in digits]
    answers = asked(*images, path="/predict/label")
    assert [answer["prediction"] for _, answer in answers] == [digit for digit, _ in digits]


def test_images_that_differ_in_one_pixel_have_answers_of_their_own(digits):
    image = digits[8][1]
    changed = image.copy()
    changed.putpixel((4, 4), 255 - image.getpixel((4, 4)))
    (_, one), (state, other) = asked(base64(png(image)), base64(png(changed)))
    assert state == "miss"
    assert one != other
