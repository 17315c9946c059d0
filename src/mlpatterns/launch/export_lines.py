"""The lines of code that export a model of another library as an ONNX file. The file is never loaded here, because a
pickle can run any code."""

from __future__ import annotations

from pathlib import Path

__all__ = ["export_lines"]

_EXPORT = 'mlpatterns.export(model, "{stem}.onnx", sample)  # sample: a few rows, as the model takes them'
_JOBLIB = ("import joblib, mlpatterns", 'model = joblib.load("{file}")', _EXPORT)
_PICKLE = ("import mlpatterns, pickle", 'model = pickle.load(open("{file}", "rb"))', _EXPORT)
_TORCH = ("import mlpatterns, torch", 'model = torch.load("{file}", weights_only=False)  # the module, not its weights',
          _EXPORT)  # fmt: skip
_WEIGHTS = ("import mlpatterns, safetensors.torch  # and your own module, of which these are the weights",
            'model.load_state_dict(safetensors.torch.load_file("{file}"))', _EXPORT)  # fmt: skip
_XGBOOST = ("import mlpatterns, xgboost", 'model = xgboost.Booster(model_file="{file}")', _EXPORT)
_LIGHTGBM = ("import lightgbm, mlpatterns", 'model = lightgbm.Booster(model_file="{file}")', _EXPORT)
_KERAS = ("import keras", 'model = keras.saving.load_model("{file}")', 'model.export("{stem}.onnx", format="onnx")')
_CATBOOST = ("import catboost", 'model = catboost.CatBoost().load_model("{file}")',
             'model.save_model("{stem}.onnx", format="onnx")')  # fmt: skip
_GRAPH = ("pip install tf2onnx tensorflow", "saved_model_cli show --all --dir {folder}  # its inputs and outputs",
          "python -m tf2onnx.convert --saved-model {folder} --output {stem}.onnx")  # fmt: skip
_TFLITE = ("pip install tf2onnx tensorflow", "python -m tf2onnx.convert --tflite {file} --output {stem}.onnx")

# By suffix: the kind of file, and the lines that export it.
_KINDS = {
    ".pkl": ("a pickle", _PICKLE),
    ".pickle": ("a pickle", _PICKLE),
    ".joblib": ("a pickle of joblib", _JOBLIB),
    ".sav": ("a pickle", _JOBLIB),
    ".skops": ("a scikit-learn model of skops", ("import mlpatterns, skops.io",
               'model = skops.io.load("{file}", trusted=[])', _EXPORT)),
    ".pt": ("a torch file", _TORCH),
    ".pth": ("a torch file", _TORCH),
    ".ckpt": ("a torch checkpoint", _TORCH),
    ".safetensors": ("weights without a model", _WEIGHTS),
    ".json": ("a model of XGBoost, if it is one", _XGBOOST),
    ".ubj": ("a model of XGBoost", _XGBOOST),
    ".bst": ("a model of XGBoost, if it is one", _XGBOOST),
    ".model": ("a model of XGBoost, if it is one", _XGBOOST),
    ".txt": ("a model of LightGBM, if it is one", _LIGHTGBM),
    ".cbm": ("a model of CatBoost", _CATBOOST),
    ".h5": ("a model of Keras", _KERAS),
    ".hdf5": ("a model of Keras", _KERAS),
    ".keras": ("a model of Keras", _KERAS),
    ".pb": ("a graph of TensorFlow", _GRAPH),
    ".tflite": ("a TensorFlow Lite model", _TFLITE),
}  # fmt: skip


def export_lines(target: str) -> str | None:
    """The error text for a target that is a model of another library, with the lines that export it as ONNX.

    None if the suffix does not belong to such a file.
    """
    path = Path(target)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        return None
    what, lines = kind
    named = [line.format(file=path, stem=path.stem, folder=path.parent) for line in lines]
    return "\n".join([f"{target} is {what}; only ONNX files can be served, and these lines export one:",
                      *(f"    {line}" for line in named)])  # fmt: skip
