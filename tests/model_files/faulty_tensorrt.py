"""Models for --model-file whose tensorrt twins run on the double, and where builder, engine or GPU fails."""

from __future__ import annotations

import functools
import multiprocessing
import sys

import torch

from fixtures.backends import tensorrt
from fixtures.models.zoo import ModelSpec
from tests.doubles import tensorrt_double
from tests.model_files.tiny_models import InTheSuite, Tiny, exhaust_device, small

_TRT = sys.modules["tensorrt"] = tensorrt_double.make("10.3.0")
torch._C._cuda_getCurrentRawStream = lambda device_index: 7
tensorrt.unavailable = lambda run_device: None


def builds_nothing():
    """The builder returns None after an error on its logger."""
    _TRT.double.unsupported_kernels.add("Conv")


def builder_raises():
    def build(*arguments):
        raise RuntimeError("std::exception in the builder")

    _TRT.Builder.build_serialized_network = build


def no_memory_to_build():
    def build(builder, network, config):
        builder._logger.log(_TRT.ILogger.ERROR, "Error Code 2: OutOfMemory (Requested size was 4194304 bytes.)")

    _TRT.Builder.build_serialized_network = build


def no_memory_to_run(twin):
    def execute(stream):
        twin._context._engine._logger.log(_TRT.ILogger.ERROR, "Error Code 1: Cuda Runtime (out of memory)")
        return False

    twin._execute = execute


def cannot_be_closed(twin):
    def close():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    twin.close = close


# What befalls a model's twin in the suite's own process, once its workers have shown that it works.
_LATER = {"starved": no_memory_to_run, "unclosable": cannot_be_closed}
_load = tensorrt.load


@functools.wraps(_load)
def _load_and_fail(request):
    twin = _load(request)
    if multiprocessing.parent_process() is None:
        _LATER.get(request.engine_path.parent.name.partition("-")[0], id)(twin)
    return twin


tensorrt.load = _load_and_fail

MODELS = [
    ModelSpec("nothing_built", builder=lambda: Tiny(builds_nothing), preprocess=small),
    ModelSpec("raising", builder=lambda: Tiny(builder_raises), preprocess=small),
    ModelSpec("hungry", builder=lambda: Tiny(no_memory_to_build), preprocess=small),
    ModelSpec("starved", builder=Tiny, preprocess=small),
    ModelSpec("device_starved", builder=lambda: InTheSuite(exhaust_device), preprocess=small),
    ModelSpec("unclosable", builder=Tiny, preprocess=small),
    ModelSpec("sound", builder=Tiny, preprocess=small),
]
