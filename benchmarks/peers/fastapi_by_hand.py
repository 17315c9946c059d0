"""The service that people write by hand: FastAPI, pydantic, `session.run`; once with `def`, once with `async def`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


class Data(BaseModel):
    data: list[list[float]]


class Prediction(BaseModel):
    prediction: list[float]


with_def, with_async_def = FastAPI(), FastAPI()


def answer(body: Data) -> Any:
    rows = np.array(body.data, dtype=np.float32)
    return Prediction(prediction=session.run(["probabilities"], {name: rows})[0][0].tolist())


@with_def.post("/predict")
def predict(body: Data) -> Prediction:
    found: Prediction = answer(body)
    return found


@with_async_def.post("/predict")
async def predict_on_the_loop(body: Data) -> Prediction:
    found: Prediction = answer(body)
    return found
