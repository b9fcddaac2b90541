"The same notebooks' checks, run against the exported modules instead of the notebook's own cells."
import subprocess, sys
from pathlib import Path

import pytest
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.config import get_config
from nbdev.process import NBProcessor

ROOT = Path(__file__).resolve().parents[1]
CFG = get_config(path=ROOT)
FLAGS = {'export', 'exporti', 'exports', *CFG.tst_flags.split()}
TAKE = '''import importlib
globals().update({k: v for k, v in vars(importlib.import_module("%s")).items() if not k.startswith("__")})'''


def cells(book): return NBProcessor(book, process=True).nb


def module(book):
    "Module that `book` exports to, or None for a notebook that only uses the library"
    names = [c.directives_['default_exp'][0] for c in cells(book).cells if 'default_exp' in getattr(c, 'directives_', {})]
    return f'{CFG.lib_path.name}.{names[0]}' if names else None


BOOKS = [b for b in sorted(CFG.nbs_path.glob('*/[0-9]*.ipynb')) if module(b) and not module(b).endswith('__init__')]


@pytest.mark.parametrize('book', BOOKS, ids=lambda b: f'{b.parent.name}/{b.stem}')
def test_checks_hold_for_module(book):
    shell = CaptureShell(book)
    shell.run(TAKE % module(book))
    assert shell.exc is None, shell.exc
    with working_directory(book.parent):
        shell.run_all(cells(book), exc_stop=True, preproc=lambda c: c.cell_type != 'code' or FLAGS & c.directives_.keys())


def test_every_module_has_a_chapter():
    names = {f'{CFG.lib_path.name}.{p.parent.name}.{p.stem}' for p in CFG.lib_path.glob('*/[!_]*.py')}
    assert names == {module(b) for b in BOOKS}


HEAVY = {'matplotlib', 'pandas', 'PIL', 'scipy', 'sklearn', 'torchvision', 'ipywidgets'}


@pytest.mark.parametrize('package', ['core', 'theory', 'cells', 'data'])
def test_the_lower_floors_are_light(package):
    "What is heavy is imported where it is used: the names of a face come without it"
    code = f'''import importlib, sys
face = importlib.import_module('lambda_darts.{package}')
for name in face.__all__: getattr(face, name)
print(*{{m.partition('.')[0] for m in sys.modules}})'''
    out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 'torch' in out.split() and not HEAVY & {*out.split()}
