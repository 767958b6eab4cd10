"""Prints the curves of a run's folder as Python's tensorboard reads them: pip install tensorboard; python tensorboard_check.py FOLDER"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

acc = EventAccumulator(sys.argv[1])
acc.Reload()
for tag in sorted(acc.Tags()["scalars"]):
    print(tag, [(e.step, e.value) for e in acc.Scalars(tag)])
for tag in sorted(acc.Tags()["tensors"]):
    print(tag, [(e.step, e.tensor_proto.string_val[0].decode()) for e in acc.Tensors(tag)])
