"""The notebooks are the tests: each is run once, against the exported library, and prints what it has stored.

A chapter that exports could be run in two ways. As a notebook, its export cells and its checks; or against the module
that it exports, its checks alone. The second proves more: it is the installed code that is checked, with the names and
imports that it has there. What a reader runs is the same code, since export and clean change nothing (tested below).
Two things could still differ in the notebook, and are held here: a name comes into a check when the cell that exports
it is reached, not before, as for the reader; and no check gives a name of the module to something else
(`rebound` in test_rules.py)."""
import filecmp, functools, importlib, importlib.metadata, os, platform, re, shutil, subprocess, sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.process import NBProcessor

from chapters import BOOK, CFG, EXPORT, LIB, MODULES, ROOT, bound

FLAGS = set(CFG.tst_flags.split())


def shown(cell):
    "What a cell says in words: its standard output, and its results where they are text"
    def words(data): return ''.join(data.get('text/markdown') or data.get('text/plain') or '')
    parts = []
    for o in cell.get('outputs', []):
        if o.get('output_type') == 'stream' and o['name'] == 'stdout': parts.append(''.join(o['text']))
        data = o.get('data', {})
        if not words(data).startswith('<Figure size'): parts.append(words(data))
    return re.sub(r' at 0x[0-9a-f]+|__main__\.|lambda_darts\.[\w.]+\.(?=[A-Z])', '', '\n'.join(parts)).strip()


@contextmanager
def registers_kept():
    "What a chapter registers (operations, methods) is forgotten after it, as it would be in a process of its own"
    rooms = [vars(importlib.import_module(f'{LIB}.{name}')) for name in MODULES]
    found = [(v, dict(v)) for room in rooms for k, v in room.items() if type(v) is dict and not k.startswith('__')]
    try: yield
    finally:
        for register, was in found:
            register.clear()
            register.update(was)


class Ran:
    "A chapter that was run: `error` (its traceback, '' where all checks held), `cells` that were, `differ`ing outputs"
    def __init__(self, chapter, force=()):
        self.error, self.cells, self.differ = '', [], {}
        module = vars(importlib.import_module(f'{LIB}.{chapter.module}')) if '.' in chapter.module else {}
        nb, skip = NBProcessor(chapter.path, process=True).nb, FLAGS - set(force)
        stored = {c.id: shown(c) for c in nb.cells if c.cell_type == 'code'}
        torch.seed()  # as in a fresh process: what is printed must not hang on it
        shell = CaptureShell(chapter.path)

        def passed_over(cell):
            if cell.cell_type != 'code' or skip & cell.directives_.keys(): return True
            if module and EXPORT & cell.directives_.keys():
                shell.user_ns.update({n: module[n] for n in bound(cell.source)})
                return True
            self.cells.append(cell.id)
        with working_directory(chapter.path.parent), registers_kept():
            try: shell.run_all(nb, exc_stop=True, preproc=passed_over)
            except Exception as e: self.error = shell.prettytb(fname=chapter.path) if shell.exc else repr(e)
        steady = [c for c in nb.cells if c.cell_type == 'code' and c.id in self.cells and 'varies' not in c.directives_]
        self.differ = {c.id: (stored[c.id], now) for c in steady if (now := shown(c)) != stored[c.id]}


run = functools.cache(Ran)
each_chapter = pytest.mark.parametrize('chapter', BOOK, ids=str)


@each_chapter
def test_checks_hold(chapter):
    ran = run(chapter)
    assert not ran.error, ran.error
    assert ran.cells or not chapter.code


PINNED = dict(torch='2.14.1', torchvision='0.29.1')  # as .ci/run installs them
HERE = {k: importlib.metadata.version(k).split('+')[0] for k in PINNED}
ROUNDS_ALIKE = platform.machine() == 'x86_64' and torch.backends.cpu.get_cpu_capability() == 'AVX512'
PLAIN = HERE == PINNED and ROUNDS_ALIKE and not torch.cuda.is_available()
UNSTEADY = {}  # chapter -> cells that print a time, or numbers without a seed, and do not say so yet


@pytest.mark.skipif(not PLAIN, reason=f'outputs are stored from a CPU (x86_64, AVX512) with {PINNED}')
@each_chapter
def test_outputs_are_what_the_cells_print(chapter):
    "A cell whose output is a time or a fact of the machine says `#| varies`"
    differ, known = run(chapter).differ, set(UNSTEADY.get(str(chapter), '').split())
    assert not {i: both for i, both in differ.items() if i not in known}, 'run tools/run.py and commit'
    assert not known - differ.keys(), 'these cells are steady now: take them out of UNSTEADY'


def has_flag(chapter, flag): return any(flag in c.flags for c in chapter.code)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('chapter', [c for c in BOOK if has_flag(c, 'cuda')], ids=str)
def test_cuda(chapter):
    ran = Ran(chapter, ['cuda'])
    assert not ran.error, ran.error


@pytest.fixture
def copy(tmp_path):
    "A copy of what nbdev reads and writes"
    for f in ('settings.ini', 'pyproject.toml', 'index.ipynb'): shutil.copy2(ROOT/f, tmp_path)
    skip = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', 'results')
    for d in (CFG.nbs_path, CFG.lib_path): shutil.copytree(d, tmp_path/d.name, symlinks=True, ignore=skip)
    return tmp_path


def nbdev(cmd, cwd, *args):
    "Run console script `cmd` in `cwd`, without IN_TEST, under which nbdev_export does nothing"
    env = {k: v for k, v in os.environ.items() if k not in ('IN_TEST', 'PYTHONPATH')}
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
