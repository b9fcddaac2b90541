"The notebooks are the tests: run each, and show that the library and they say the same."
import filecmp, importlib.util, os, shutil, subprocess, sys
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.process import NBProcessor
from nbdev.test import test_nb as run_nb  # renamed, or pytest takes it for a test

ROOT = Path(__file__).resolve().parents[1]
CFG = get_config(path=ROOT)
BOOKS = [ROOT/'index.ipynb', *sorted(CFG.nbs_path.glob('*/[0-9]*.ipynb'))]
FLAGS = set(CFG.tst_flags.split())


def has_cuda():
    if importlib.util.find_spec('torch') is None: return False
    import torch
    return torch.cuda.is_available()


def has_flag(book, flag):
    return any(flag in c.directives_ for c in NBProcessor(book, process=True).nb.cells if c.cell_type == 'code')


@pytest.mark.parametrize('book', BOOKS, ids=lambda b: f'{b.parent.name}/{b.stem}')
def test_cpu(book):
    ok, _ = run_nb(book, skip_flags=FLAGS, basepath=ROOT)
    assert ok, f'{book.name} failed: see the traceback in stderr'


@pytest.mark.skipif(not has_cuda(), reason='needs a CUDA device')
@pytest.mark.parametrize('book', [b for b in BOOKS if has_flag(b, 'cuda')], ids=lambda b: f'{b.parent.name}/{b.stem}')
def test_cuda(book):
    ok, _ = run_nb(book, skip_flags=FLAGS, force_flags=['cuda'], basepath=ROOT)
    assert ok, f'{book.name} failed: see the traceback in stderr'


@pytest.fixture
def copy(tmp_path):
    "A copy of what nbdev reads and writes"
    for f in ('settings.ini', 'pyproject.toml', 'index.ipynb'): shutil.copy2(ROOT/f, tmp_path)
    for d in (CFG.nbs_path, CFG.lib_path):
        shutil.copytree(d, tmp_path/d.name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'))
    return tmp_path


def nbdev(cmd, cwd, *args):
    "Run console script `cmd` in `cwd`, without IN_TEST, under which nbdev_export does nothing"
    env = {k:v for k,v in os.environ.items() if k not in ('IN_TEST', 'PYTHONPATH')}
    subprocess.run([Path(sys.executable).with_name(cmd), *args], cwd=cwd, env=env, check=True)


def differing(a, b, pat):
    "Paths under `a` or `b` matching `pat` that are not the same bytes in both"
    names = {p.relative_to(r) for r in (a, b) for p in r.rglob(pat) if '__pycache__' not in p.parts}
    same, *other = filecmp.cmpfiles(a, b, map(str, names), shallow=False)
    return sorted(sum(other, []))


def test_library_is_exported(copy):
    shutil.rmtree(copy/CFG.lib_path.name)
    nbdev('nbdev_export', copy)
    assert not differing(CFG.lib_path, copy/CFG.lib_path.name, '*.py'), 'run nbdev_export and commit'


def test_notebooks_are_clean(copy):
    nbdev('nbdev_clean', copy)
    nbdev('nbdev_clean', copy, '--fname', 'index.ipynb')
    assert not differing(CFG.nbs_path, copy/CFG.nbs_path.name, '*.ipynb')
    assert filecmp.cmp(ROOT/'index.ipynb', copy/'index.ipynb', shallow=False)
