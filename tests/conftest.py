"What every test starts from: this checkout's library in one thread, also in the processes that it starts."
import os, shutil, subprocess, sys
from pathlib import Path

import pytest

os.environ.update(OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE')  # before torch: two workers share the cores
import torch

from chromium import tabs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    "`IN_TEST`, which nbdev's test runner sets, makes nbdev_export do nothing: set here so that it is removed again"
    monkeypatch.setenv('IN_TEST', '1')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])))
    monkeypatch.syspath_prepend(str(ROOT))
    yield
    torch.set_default_dtype(torch.float32)  # a chapter that failed half-way may have left another


@pytest.fixture(scope='session')
def browser(tmp_path_factory):
    "A new tab of Chromium at each call"
    with tabs(tmp_path_factory.mktemp('chromium')) as tab: yield tab


# Tests that share what is made once (a site, a browser, runs) stay with one worker: the longest first, so that the
# workers end together. A chapter's two tests share its run; every other test is on its own.
TOGETHER = ('test_ranks.py', 'test_docs.py', 'test_browser.py', 'test_experiment.py', 'test_simplex.py')
LONGEST = ('[experiments/8_whole_loop]', 'test_ranks.py', 'test_killed_ten_times', '[5_search/6_search]',
           'test_docs.py',
           '[2_cells/7_supernet]', '[5_search/9_own_space]', '[5_search/8_estimate]', '[5_search/1_step]',
           '[5_search/2_methods]', '[6_networks/1_network]', 'test_browser.py', '[5_search/7_seeds]')


def company(nodeid):
    "What a test is kept together with"
    if 'test_notebooks.py' in nodeid and '[' in nodeid: return nodeid[nodeid.index('['):]
    return next((f for f in TOGETHER if f in nodeid), nodeid)


def pytest_collection_modifyitems(items):
    def place(item): return next((i for i, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST))
    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling
    class Company(LoadScopeScheduling):
        def _split_scope(self, nodeid): return company(nodeid)
    return Company(config, log)