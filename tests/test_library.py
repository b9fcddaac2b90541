"The same notebooks' checks, run against the exported modules instead of the notebook's own cells."
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
