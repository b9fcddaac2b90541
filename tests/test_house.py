"The rules of CONTRIBUTING.md that a program can check."
import ast, importlib, inspect, json, re, subprocess
from pathlib import Path

import pytest
from fastcore.docments import docments

ROOT = Path(__file__).resolve().parents[1]
BOOKS = [ROOT/'index.ipynb', *sorted((ROOT/'nbs').glob('*/[0-9]*.ipynb'))]
MODULES = sorted((ROOT/'lambda_darts').glob('*/[!_]*.py'))


def name(path): return f'{path.parent.name}.{path.stem}'


def code_lines(src): return [l for l in src.splitlines() if l.strip() and not l.lstrip().startswith('#')]


def body_lines(fn, src):
    "Lines of the function `fn` after its signature and docstring"
    body = fn.body[1:] if ast.get_docstring(fn) is not None else fn.body
    return len(code_lines('\n'.join(src.splitlines()[body[0].lineno-1:fn.end_lineno]))) if body else 0


@pytest.mark.parametrize('book', BOOKS, ids=name)
def test_cells_are_short(book):
    cells = [(i, ''.join(c['source'])) for i, c in enumerate(json.loads(book.read_text(encoding='utf-8'))['cells'])
             if c['cell_type'] == 'code']
    sizes = {f'cell {i}': sum(bool(l.strip()) for l in src.splitlines()) for i, src in cells}
    assert not {k: n for k, n in sizes.items() if n > 30}, 'at most 30 lines: split them, with words and a check between'


@pytest.mark.parametrize('file', MODULES, ids=name)
def test_functions_and_modules_are_short(file):
    src = file.read_text(encoding='utf-8')
    assert len(code_lines(src)) <= 300, 'a module has at most 300 lines of code'
    sizes = {n.name: body_lines(n, src) for n in ast.walk(ast.parse(src)) if isinstance(n, ast.FunctionDef)}
    assert not {k: n for k, n in sizes.items() if n > 25}, 'a function has at most 25 lines'


def undocumented(o):
    "Parameters of `o` without a comment, 'docstring' where that is missing"
    what = o.__init__ if inspect.isclass(o) and '__init__' in vars(o) and not hasattr(o, '__dataclass_fields__') else o
    missing = [] if inspect.getdoc(o) else ['docstring']
    if inspect.isclass(o) and what is o: return missing  # a value: its fields are not parameters of a call
    return missing + [k for k, d in docments(what, full=True, returns=False).items() if k != 'self' and not d.docment and d.kind is not inspect.Parameter.VAR_KEYWORD]


@pytest.mark.parametrize('file', MODULES, ids=name)
def test_exported_names_are_documented(file):
    mod = importlib.import_module(f'lambda_darts.{name(file)}')
    assert mod.__doc__, 'the chapter has no `>` line after its title'
    named = [o for o in map(vars(mod).get, mod.__all__) if hasattr(o, '__qualname__')]  # functions and classes
    res = {o.__name__: undocumented(o) for o in named if o.__module__ == mod.__name__}
    assert not {k: v for k, v in res.items() if v}, 'a docstring, and a comment on the line of each parameter'


def tracked():
    "Text files of the project: what git has or would take"
    cmd = ['git', 'ls-files', '-co', '--exclude-standard']
    try: out = subprocess.run(cmd, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError): pytest.skip('needs git and a clone')
    return [ROOT/f for f in out.stdout.splitlines() if (ROOT/f).is_file() and Path(f).suffix not in ('.png', '.gz', '.npz')]


@pytest.mark.parametrize('what', [
    r'(?<![\w+.~}])/(work|tmp|root|home)/',  # a path of one machine
    r'pypi[.]org|pythonhosted[.]org|npmjs[.]org|index[-]url|find[-]links'])
def test_nothing_of_one_machine(what):
    texts = {f.relative_to(ROOT): f.read_text(encoding='utf-8') for f in tracked()}
    assert not {f'{f}: {m.group()}' for f, t in texts.items() for m in re.finditer(what, t)}
