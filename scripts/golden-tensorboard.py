"""Writes test/fixtures/golden/tensorboard: an event file by TensorBoard's own classes, for test/interop/tensorboard.test.ts.

Usage: python scripts/golden-tensorboard.py   (needs tensorboard)
"""
import pathlib

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import DataClass, HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

path = pathlib.Path(__file__).parent.parent / "test/fixtures/golden/tensorboard/events.out.tfevents.1700000000.golden"

text = Summary.Value(
    tag="settings",
    tensor=TensorProto(
        dtype=DT_STRING,
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        string_val=["| a | b |\n| --- | --- |\n| Größe | 1 |".encode()],
    ),
    metadata=SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="text"),
        data_class=DataClass.Value("DATA_CLASS_TENSOR"),
    ),
)
scalars = [
    Summary.Value(tag="loss/train", simple_value=6.25),
    Summary.Value(tag="optimizer/learning_rate", simple_value=0.0),
]
depths = HistogramProto(
    min=2.5, max=5.5, num=10, sum=38, sum_squares=150, bucket_limit=[3.5, 4.5, 5.5], bucket=[4, 4, 2]
)

with open(path, "wb") as file:
    writer = RecordWriter(file)
    for event in [
        Event(wall_time=1700000000.25, file_version="brain.Event:2"),
        Event(wall_time=1700000000.25, summary=Summary(value=[text])),
        Event(wall_time=1700000001.5, step=1, summary=Summary(value=scalars)),
        Event(wall_time=1700000002.5, step=300, summary=Summary(value=[Summary.Value(tag="depth", histo=depths)])),
        Event(wall_time=1700000003.5, step=2**40, session_log=SessionLog(status=SessionLog.START)),
    ]:
        writer.write(event.SerializeToString(deterministic=True))
    writer.flush()
