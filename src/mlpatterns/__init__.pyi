"""The public names, each with its module: for type checkers, and for `__init__.py`, which imports them by it.

`python -m docs.make_reference` makes this file of the names in docs/examples; a test compares.
"""

from mlpatterns.analysis.drift import DriftThresholds as DriftThresholds
from mlpatterns.analysis.hysteresis import Hysteresis as Hysteresis
from mlpatterns.base import BasePredictor as BasePredictor
from mlpatterns.base import Wrapper as Wrapper
from mlpatterns.base import ended as ended
from mlpatterns.context import Context as Context
from mlpatterns.context import Note as Note
from mlpatterns.edge.serve import EdgeSite as EdgeSite
from mlpatterns.edge.site import EdgeModel as EdgeModel
from mlpatterns.error_codes import ErrorCode as ErrorCode
from mlpatterns.errors import CircuitOpen as CircuitOpen
from mlpatterns.errors import Conflict as Conflict
from mlpatterns.errors import DeadlineExceeded as DeadlineExceeded
from mlpatterns.errors import Denied as Denied
from mlpatterns.errors import InternalError as InternalError
from mlpatterns.errors import InvalidInput as InvalidInput
from mlpatterns.errors import MlpatternsError as MlpatternsError
from mlpatterns.errors import NotFound as NotFound
from mlpatterns.errors import NotStarted as NotStarted
from mlpatterns.errors import Overloaded as Overloaded
from mlpatterns.errors import PredictionError as PredictionError
from mlpatterns.errors import RateLimited as RateLimited
from mlpatterns.errors import TooLarge as TooLarge
from mlpatterns.errors import Unavailable as Unavailable
from mlpatterns.errors import Unsupported as Unsupported
from mlpatterns.evidence import Evidence as Evidence
from mlpatterns.evidence import Row as Row
from mlpatterns.exporting.exporter import Exported as Exported
from mlpatterns.exporting.exporter import export as export
from mlpatterns.interfaces import Clock as Clock
from mlpatterns.interfaces import ControlStore as ControlStore
from mlpatterns.interfaces import Document as Document
from mlpatterns.interfaces import Metrics as Metrics
from mlpatterns.interfaces import MetricSeries as MetricSeries
from mlpatterns.interfaces import Shared as Shared
from mlpatterns.metadata import Array as Array
from mlpatterns.metadata import ModelMetadata as ModelMetadata
from mlpatterns.metadata import TensorSpec as TensorSpec
from mlpatterns.model_db.api.app import ModelDB as ModelDB
from mlpatterns.models.chosen import chosen_model as chosen_model
from mlpatterns.models.constant import ConstantModel as ConstantModel
from mlpatterns.models.golden.images import GoldenImages as GoldenImages
from mlpatterns.models.golden.rows import GoldenRows as GoldenRows
from mlpatterns.models.image.image_decoder import ImageDecoder as ImageDecoder
from mlpatterns.models.model_profiles import ModelProfiles as ModelProfiles
from mlpatterns.models.onnx.onnx import OnnxModel as OnnxModel
from mlpatterns.models.python.python import PythonModel as PythonModel
from mlpatterns.models.remote.remote import RemoteModel as RemoteModel
from mlpatterns.models.swap.hot_swap import HotSwap as HotSwap
from mlpatterns.operation import Caller as Caller
from mlpatterns.operation import Operation as Operation
from mlpatterns.operation import Streamed as Streamed
from mlpatterns.pieces.batch_job.batch_job import BatchJob as BatchJob
from mlpatterns.pieces.batcher.batcher import Batcher as Batcher
from mlpatterns.pieces.cache.data_cache import DataCache as DataCache
from mlpatterns.pieces.cache.prediction_cache import PredictionCache as PredictionCache
from mlpatterns.pieces.circuit_breaker.circuit_breaker import CircuitBreaker as CircuitBreaker
from mlpatterns.pieces.experiment.experiment import Experiment as Experiment
from mlpatterns.pieces.experiment.units import Metric as Metric
from mlpatterns.pieces.fallback import Fallback as Fallback
from mlpatterns.pieces.fan_out import FanOut as FanOut
from mlpatterns.pieces.job_queue.job_queue import JobQueue as JobQueue
from mlpatterns.pieces.limit import Limit as Limit
from mlpatterns.pieces.monitor import Monitor as Monitor
from mlpatterns.pieces.outlier_check import OutlierCheck as OutlierCheck
from mlpatterns.pieces.pipeline import Pipeline as Pipeline
from mlpatterns.pieces.prediction_log.prediction_log import PredictionLog as PredictionLog
from mlpatterns.pieces.retry import Retry as Retry
from mlpatterns.pieces.route.route import Route as Route
from mlpatterns.pieces.route.rules import DataRule as DataRule
from mlpatterns.pieces.route.rules import Rule as Rule
from mlpatterns.pieces.shadow.shadow import Shadow as Shadow
from mlpatterns.pieces.split.split import Split as Split
from mlpatterns.pieces.sync_async import SyncAsync as SyncAsync
from mlpatterns.pieces.thresholds.thresholds import Thresholds as Thresholds
from mlpatterns.predictor import Health as Health
from mlpatterns.predictor import InferenceRequest as InferenceRequest
from mlpatterns.predictor import InferenceResponse as InferenceResponse
from mlpatterns.predictor import Predictor as Predictor
from mlpatterns.predictor import Program as Program
from mlpatterns.predictor import Runtime as Runtime
from mlpatterns.programs.monitor_rules import Limits as Limits
from mlpatterns.registry.client import RegistryClient as RegistryClient
from mlpatterns.runtime.lifecycle import running as running
from mlpatterns.server.answers import Answers as Answers
from mlpatterns.server.answers import nested_prediction as nested_prediction
from mlpatterns.server.app import App as App
from mlpatterns.server.app import serve as serve
from mlpatterns.service import Service as Service
from mlpatterns.settings import load_settings as load_settings
from mlpatterns.settings_fields import Settings as Settings
from mlpatterns.training import run
from mlpatterns.user_errors import AddressInUse as AddressInUse
from mlpatterns.user_errors import ArtifactsDown as ArtifactsDown
from mlpatterns.user_errors import CompositionError as CompositionError
from mlpatterns.user_errors import InvalidSpec as InvalidSpec
from mlpatterns.user_errors import MissingExtra as MissingExtra
from mlpatterns.user_errors import ModelFileError as ModelFileError
from mlpatterns.user_errors import NoModelFile as NoModelFile
from mlpatterns.user_errors import NotOffered as NotOffered
from mlpatterns.user_errors import RegistryDown as RegistryDown
from mlpatterns.user_errors import SettingsError as SettingsError
from mlpatterns.user_errors import TableError as TableError
from mlpatterns.user_errors import UnknownName as UnknownName
from mlpatterns.user_errors import UserError as UserError
from mlpatterns.user_errors import WrongUse as WrongUse

__all__: list[str]
__version__: str

train = run
