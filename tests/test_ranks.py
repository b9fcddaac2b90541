"Two ranks on the CPU, started by torchrun, against one process that has the whole batch; and a rank that is killed."
import os, signal, subprocess, sys, time
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SEARCH = '''
import os, sys, torch
from pathlib import Path
from lambda_darts.search.config import search_config
from lambda_darts.data.halves import load_data
from lambda_darts.core.ranks import rank, ranks, world
from lambda_darts.search.search import Search

def search(out, norm, **kw): # in double precision, on 66 + 66 digits: the last batch to be evaluated is short
    digits = load_data()
    few = load_data((digits.images[:132], digits.labels[:132]))
    given = dict(channels=2, epochs=2, batch_size=16, lr=.1, dtype='float64', sync_norm=norm == 'sync')
    s = Search(search_config(**given | kw), few, out, 'cpu', progress=False)
    for m in s.net.modules():
        if norm == 'still' and isinstance(m, torch.nn.BatchNorm2d): m.eval(); m.train = lambda mode=True: None
    return s

def noisy(out): search(out, 'alone', space='s4', cells=4, epochs=4).run()
'''
CASES = [(norm, name) for norm in ('still', 'sync')
         for name in 'none exact central forward sign sign_central second second_exact row'.split()]
# they would say nothing new
for case in ('still', 'row'), ('sync', 'forward'), ('sync', 'second'), ('sync', 'sign_central'): CASES.remove(case)
SETTINGS = dict(
    none=dict(regularizer='none'), exact=dict(gradient='exact'), central=dict(gradient='central'),
    forward=dict(gradient='forward'), sign=dict(regularizer='sign', gradient='exact'),
    sign_central=dict(regularizer='sign', gradient='central'), second=dict(alpha_gradient='second'),
    second_exact=dict(alpha_gradient='second-exact'), row=dict(space='s2', channels=4, cells=4))
EQUAL = SEARCH + f'CASES, SETTINGS = {CASES + [("alone", "exact")]}, {SETTINGS}' + '''
with ranks('cpu'):
    for norm in ('still', 'sync', 'alone'):
        for name, kw in SETTINGS.items():
            if (norm, name) in CASES: search(f'{sys.argv[1]}/{norm}-{name}', norm, **kw).run()
    for name in ('exact', 'sign_central'):
        wrong = search(f'{sys.argv[1]}/wrong-{name}', 'still', **SETTINGS[name])
        wrong.regularizer.reduce = None     # u from each rank's own gradients
        wrong.run()
    if world() > 1: noisy('unbroken')
'''
KILLED = SEARCH + '''
with ranks('cpu'):
    Path(f'process-{rank()}').write_text(str(os.getpid()))    # what two ranks print may come out mixed
    noisy('killed')
'''


def start(code, cwd, ranks, *args):
    "A process alone, or torchrun with `ranks` of them"
    (cwd/'script.py').write_text(code)
    launch = [] if ranks == 1 else ['-m', 'torch.distributed.run', '--standalone', '--local-addr', '127.0.0.1',
                                    '--nproc-per-node', str(ranks)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'}
    return subprocess.Popen([sys.executable, *launch, 'script.py', *args], cwd=cwd, env=env, encoding='utf-8',
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process, seconds=120):
    "Its output and exit status"
    return process.communicate(timeout=seconds)[0], process.returncode


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    "The runs of one process, and those of two ranks"
    cwd = tmp_path_factory.mktemp('equal')
    for process in [start(EQUAL, cwd, 1, 'one'), start(EQUAL, cwd, 2, 'two')]: # at the same time
        out, status = finish(process)
        assert status == 0, out
    return cwd/'one', cwd/'two'


def load(folder): return torch.load(folder/'checkpoint.pt', weights_only=True)


def off(a, b):
    "Largest relative difference: of α, ω and the running statistics; of the numbers in the history"
    pairs = [(x.double(), b['net'][k].double()) for k, x in a['net'].items()]
    history = [pd.DataFrame(s['history']).drop(columns=['genotype', 'mixing', 'seconds']) for s in (a, b)]
    numbers = ((history[0] - history[1]).abs()/history[1].abs().clip(lower=1e-3)).max().max()
    return max(((x - y).norm()/y.norm().clamp_min(1e-30)).item() for x, y in pairs), numbers


@pytest.mark.parametrize('norm,name', CASES)
def test_two_ranks_are_one(folders, norm, name):
    "α, ω, the history and the cell after two epochs"
    a, b = (load(f/f'{norm}-{name}') for f in folders)
    state, history = off(a, b)
    print(f'{norm} {name}: α, ω {state:.1e}, history {history:.1e}')
    assert state < 1e-9 and history < 1e-6
    assert [r['genotype'] for r in a['history']] == [r['genotype'] for r in b['history']]
    assert {p.name for p in (folders[0]/f'{norm}-{name}').iterdir()} == {p.name
            for p in (folders[1]/f'{norm}-{name}').iterdir()}


def test_wrong_ways_differ(folders):
    "A direction u from each rank's own gradients, and statistics of each rank's own pictures, are something else"
    for wrong, right in (('wrong-exact', 'still-exact'), ('wrong-sign_central', 'still-sign_central'),
                         ('alone-exact', 'sync-exact')):
        assert off(load(folders[1]/wrong), load(folders[1]/right))[0] > 1e-4


def test_killed_rank(folders, tmp_path):
    "The job ends soon and says why; the same command goes on, and ends where an unbroken one does, noise and all"
    process, history = start(KILLED, tmp_path, 2), tmp_path/'killed'/'history.csv'
    while not history.exists():                             # both ranks have made an epoch
        assert process.poll() is None, finish(process)[0]
        time.sleep(.02)
    os.kill(int((tmp_path/'process-1').read_text()), signal.SIGKILL)
    killed = time.monotonic()
    out, status = finish(process)
    assert status and time.monotonic() - killed < 30
    assert 'rank 0 was stopped: another rank ended' in out and 'Signal 9 (SIGKILL)' in out, out
    assert 1 <= len(load(tmp_path/'killed')['history']) < 4
    out, status = finish(start(KILLED, tmp_path, 2))
    assert status == 0, out
    assert off(load(tmp_path/'killed'), load(folders[1].parent/'unbroken')) == (0, 0)