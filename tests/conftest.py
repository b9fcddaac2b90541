"What every test starts from: this checkout's library in one thread, also in the processes it starts, put back afterwards."
import os
from pathlib import Path

import pytest

os.environ.update(OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE')  # before torch: two workers share the cores
import torch

ROOT = str(Path(__file__).resolve().parents[1])


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    "`IN_TEST`, which nbdev's test runner sets, makes nbdev_export do nothing: set here so that it is removed again"
    monkeypatch.setenv('IN_TEST', '1')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [ROOT, os.environ.get('PYTHONPATH')])))
    monkeypatch.syspath_prepend(ROOT)
    yield
    torch.set_default_dtype(torch.float32)  # a chapter that failed half-way may have left another
