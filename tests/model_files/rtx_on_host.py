"""A model for --model-file whose tensorrt_rtx twins run on the double; the environment says which driver is there."""

from __future__ import annotations

import os
import sys

import torch

from fixtures.backends import tensorrt_rtx
from fixtures.models.zoo import ModelSpec
from tests.doubles import tensorrt_double
from tests.model_files.tiny_models import Tiny, small

DRIVER = "DRIVER_OF_THE_DOUBLE"

_trt = sys.modules["tensorrt_rtx"] = tensorrt_double.make("1.6.1.120")
_trt.double.driver = os.environ.get(DRIVER, "580")
torch._C._cuda_getCurrentRawStream = lambda device_index: 7
tensorrt_rtx.unavailable = lambda run_device: None

MODELS = [ModelSpec("tiny", builder=Tiny, preprocess=small)]
