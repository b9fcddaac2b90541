"""The rules of the house, each a function from a source to what is wrong in it, and each shown failing on a made-up
offender. `python tests/test_rules.py` prints what offends now, as `OFFENDERS` has it."""
import ast, importlib, inspect, io, json, re, subprocess, sys, textwrap, tokenize
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastcore.docments import docments

from chapters import (BOOK, CHAPTERS, FACES, FLOORS, LIB, MODULES, ROOT, Cell, Chapter, bound, imports,
                      patched)

# What is known to offend: rule -> places. It may only shrink: a clean place in it is an error.
OFFENDERS = {}  # rule -> places that are known to break it, to be mended


@dataclass(frozen=True)
class Place:
    "What a rule looks at: a module, a tool, a test or a chapter, its package and its source"
    name: str
    source: str
    package: str = ''
    chapter: Chapter|None = None


def text(path): return path.read_text(encoding='utf-8')


IN_LIBRARY = [Place(name, text(path), path.parent.name) for name, path in MODULES.items()]
SCRIPTS = [p for d in ('tools', 'tests') for p in sorted((ROOT/d).glob('*.py'))]
BESIDE = [Place(f'{p.parent.name}/{p.name}', text(p)) for p in SCRIPTS]
IN_BOOK = [Place(str(c), c.source, c.package, c) for c in BOOK]
PROSE = [Place(p.name, text(p)) for p in sorted(ROOT.glob('*.md'))]
CODE = IN_LIBRARY + BESIDE


# --- the order of things

def order(place):
    "Imports of a chapter, its checks among them, that do not come from an earlier chapter"
    earlier = {c.module for c in CHAPTERS if c.path <= place.chapter.path}
    found = imports(place.source, place.package) if place.package else []
    return [f'{i.module} {i.name}'.strip() for i in found if i.module and i.module not in earlier]


def floors(place):
    "Imports of a module from its own floor or a higher one"
    packages = {i.module.split('.')[0] for i in imports(place.source, place.package)} - {'', place.package}
    return [p for p in sorted(packages) if FLOORS[p] >= FLOORS[place.package]]


def circle(graph):
    "The modules of a circle of imports, nothing where there is none"
    left = dict(graph)
    while free := [m for m, needs in left.items() if not needs & left.keys()]:
        for m in free: del left[m]
    return sorted(left)


def private(place):
    "Names with a leading underscore taken from another module of the library"
    found = list(imports(place.source, place.package))
    modules = {i.bound for i in found if not i.name}
    taken = [n for n in ast.walk(ast.parse(place.source)) if isinstance(n, ast.Attribute) and n.attr.startswith('_')
             and not n.attr.startswith('__') and isinstance(n.value, ast.Name) and n.value.id in modules]
    names = [i.name for i in found if i.name.startswith('_') and not i.name.startswith('__')]
    return names + [ast.unparse(n) for n in taken]


def patches(place):
    "Methods that are patched on a class of another package"
    tree = ast.parse(place.source)
    own = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    own |= {i.bound for i in imports(place.source, place.package) if i.module.split('.')[0] == place.package}
    methods = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and patched(n)]
    owners = {m.name: re.findall(r'\w+', ast.unparse(m.args.args[0].annotation)) for m in methods}
    return [f'{c}.{method}' for method, classes in owners.items() for c in classes if c not in own]


# --- short things

def long_lines(place):
    "Lines of more than 120 characters; a directive, such as a figure's alternative text, can't be broken"
    return [line.strip()[:40] for line in place.source.splitlines() if len(line) > 120 and not line.startswith('#|')]

def code_lines(src): return [line for line in src.splitlines() if line.strip() and not line.lstrip().startswith('#')]


def body_lines(fn, src):
    "Lines of the function `fn` after its signature and docstring"
    body = fn.body[1:] if ast.get_docstring(fn) is not None else fn.body
    return len(code_lines('\n'.join(src.splitlines()[body[0].lineno - 1:fn.end_lineno]))) if body else 0


def long_functions(place):
    "Functions of more than 25 lines"
    kinds = ast.FunctionDef, ast.AsyncFunctionDef
    return [n.name for n in ast.walk(ast.parse(place.source))
            if isinstance(n, kinds) and body_lines(n, place.source) > 25]


def long_module(place):
    "A module of more than 300 lines of code"
    lines = len(code_lines(place.source))
    return [f'{lines} lines'] if lines > 300 else []


def long_cells(place):
    "Cells of more than 30 lines"
    return [c.id for c in place.chapter.code if sum(bool(line.strip()) for line in c.source.splitlines()) > 30]


# --- plain lines

def walk(place, *kinds): return [n for n in ast.walk(ast.parse(place.source)) if isinstance(n, kinds)]


def yes_or_no(n):
    "Is the value of this expression True or False, as far as its form says?"
    told = 'bool', 'isinstance', 'issubclass', 'hasattr', 'callable', 'any', 'all'
    if isinstance(n, ast.UnaryOp): return isinstance(n.op, ast.Not)
    if isinstance(n, ast.Call): return ast.unparse(n.func) in told
    return isinstance(n, (ast.Compare, ast.BoolOp)) or isinstance(n, ast.Constant) and isinstance(n.value, bool)


def worded(n):
    "Is this a string or a list as it is typed?"
    return isinstance(n, (ast.JoinedStr, ast.List)) or isinstance(n, ast.Constant) and isinstance(n.value, str)


def times_bool(place):
    "A string or a list times a truth value, where an `if` is meant"
    pairs = [(n, p) for n in walk(place, ast.BinOp) if isinstance(n.op, ast.Mult)
             for p in ((n.left, n.right), (n.right, n.left))]
    return [f'line {n.lineno}' for n, (a, b) in pairs if worded(a) and yes_or_no(b)]


def flow_by_value(place):
    "`and`, `or`, `if … else …` or a tuple of calls as a statement"
    values = [n.value for n in walk(place, ast.Expr)]
    several = [v for v in values if isinstance(v, ast.Tuple) and any(isinstance(e, ast.Call) for e in v.elts)]
    return [f'line {v.lineno}' for v in [v for v in values if isinstance(v, (ast.BoolOp, ast.IfExp))] + several]


def locals_given(place):
    "`locals()`: what is passed is named"
    return [f'line {n.lineno}' for n in walk(place, ast.Call) if ast.unparse(n.func) == 'locals']


def named_lambdas(place):
    "A lambda that is given a name, where `def` is meant"
    named = walk(place, ast.Assign, ast.AnnAssign, ast.NamedExpr)
    return [f'line {n.lineno}' for n in named if isinstance(n.value, ast.Lambda)]


def several_statements(place):
    "Two statements in one line, parted by a semicolon"
    tokens = tokenize.generate_tokens(io.StringIO(place.source).readline)
    return [f'line {t.start[0]}' for t in tokens if t.type == tokenize.OP and t.string == ';']


# --- words

NUMBERED = r'\b[Cc]hapters? \d\d?[a-z]?\b(?! *(?:cells|chapters))|\[\d\d?[a-z]?\]\([^)]*\.ipynb'


def numbered(place):
    "Chapters that are numbered in prose or in comments, where they have names"
    prose = '\n'.join(c.source for c in place.chapter.cells) if place.chapter else place.source
    return [m.group() for m in re.finditer(NUMBERED, prose)]


def rebound(place):
    """Names of the module that a check gives to something else: in the notebook what is exported would use that then,
    in the module it would not"""
    exported = bound('\n'.join(c.source for c in place.chapter.code if c.exported))
    checks = [c for c in place.chapter.code if not c.exported]
    return [f'{c.id}: {n}' for c in checks for n in sorted(exported & bound(c.source, imported=False))]


RULES = {  # what is looked at, and sources that offend
    floors: (IN_LIBRARY, ['from lambda_darts.search.step import weight_step', 'from ..data import load_data']),
    order: (IN_BOOK, ['from lambda_darts.theory.regularizer import AlignmentRegularizer',
                      'from lambda_darts.theory import alignment', 'def f():\n from lambda_darts.cells import Space']),
    private: (CODE + IN_BOOK, ['from lambda_darts.theory.alignment import _pairs',
                               'import lambda_darts.theory.alignment as a\na._pairs']),
    patches: (IN_LIBRARY, ['from lambda_darts.cells.genotype import Genotype\n@patch\ndef build(self:Genotype): pass']),
    long_lines: (BESIDE + IN_BOOK, ['x = 1' + ' '*120 + '# far away']),
    long_functions: (CODE, ['def f():\n' + ' x = 1\n'*26]),
    long_module: (IN_LIBRARY, ['x = 1\n'*301]),
    long_cells: (IN_BOOK, ['x = 1\n'*31]),
    times_bool: (CODE, ['print("many"*(n > 1))', 'print(bool(n)*f"{n} of them")', 'rows + [1]*(not given)']),
    flow_by_value: (CODE, ['ready and go()', 'stop() if late else go()', 'ready(), go()']),
    locals_given: (CODE, ['def f(a): return g(**locals())']),
    named_lambdas: (CODE, ['double = lambda x: 2*x', 'sorted(xs, key=(k := lambda x: -x))']),
    several_statements: (CODE, ['a = 1; b = 2']),
    numbered: (CODE + IN_BOOK + PROSE, ['# as in chapter {}'.format(12), '# see [{}](15_retrain.ipynb)'.format(15)]),
    rebound: (IN_BOOK, ['#| export\ndef size(x): return x\n#%%\nsize = 3',
                        '#| export\nimport os\n#%%\ndef os(): pass'])}


def made_up(source):
    "A chapter of theory with this source, its cells parted by `#%%`"
    chapter = Chapter(ROOT/'nbs/1_theory/1_made_up.ipynb')
    vars(chapter)['cells'] = [Cell(f'cell {i}', 'code', s) for i, s in enumerate(source.split('#%%\n'))]
    return Place('made up', source, 'theory', chapter)


def offences(rule): return {p.name: found for p in RULES[rule][0] if (found := rule(p))}


@pytest.mark.parametrize('rule', RULES, ids=lambda f: f.__name__)
def test_rule(rule):
    known, found = set(OFFENDERS.get(rule.__name__, '').split()), offences(rule)
    assert not {name: what for name, what in found.items() if name not in known}, rule.__doc__
    assert not known - found.keys(), 'these are clean: take them out of OFFENDERS'


@pytest.mark.parametrize('rule', RULES, ids=lambda f: f.__name__)
def test_rule_sees_an_offender(rule):
    assert all(rule(made_up(source)) for source in RULES[rule][1])
    assert not rule(made_up('#| export\nfrom ..core import face\ndef f(x): return 2*x\n'))


def graph(): return {p.name: {i.module for i in imports(p.source, p.package)} - {p.name} for p in IN_LIBRARY}


def test_no_circle():
    assert not circle(graph())
    assert circle(dict(a={'b'}, b={'c'}, c={'a'}, d={'a'}, e=set())) == ['a', 'b', 'c', 'd']  # d needs a circle


def test_every_package_has_a_floor():
    assert set(FLOORS) == {c.package for c in CHAPTERS} and set(FACES) == set(FLOORS) - {'experiments'}


# --- what the library says of itself

@pytest.mark.parametrize('package', FACES)
def test_face(package):
    "Every name of a face is there and public in its module"
    for name, module in FACES[package].items():
        there = importlib.import_module(f'{LIB}.{module}')
        assert name in there.__all__, f'{module} has no public {name}'
        assert getattr(importlib.import_module(f'{LIB}.{package}'), name) is getattr(there, name)


HEAVY = 'pandas matplotlib sklearn torchvision ipywidgets IPython onnx PIL safetensors'.split()
ADDED = dict(  # what all names of a face may import beyond those of the faces before it
    core='', theory='', cells='', data='', runs='pandas matplotlib IPython PIL', search='',
    networks='safetensors torchvision', widgets='ipywidgets IPython', bench='', cli='')
TAKE_ALL = f'''import importlib, json, sys
seen = {{}}
for package in {list(ADDED)}:
    face = importlib.import_module(f"{LIB}.{{package}}")
    for name in face.__all__: getattr(face, name)
    seen[package] = [m for m in {HEAVY} if m in sys.modules]
print(json.dumps(seen))'''


def test_what_each_face_imports():
    out = subprocess.run([sys.executable, '-c', TAKE_ALL], check=True, capture_output=True, text=True).stdout
    seen, before = json.loads(out), set()
    for package, found in seen.items():
        assert set(found) - before <= set(ADDED[package].split()), package
        before |= set(found)
    assert {'pandas', 'matplotlib', 'torchvision'} <= before  # or this test would see nothing


def undocumented(o):
    "Parameters of `o` without a comment, 'docstring' where that is missing"
    is_class = inspect.isclass(o)
    what = o.__init__ if is_class and '__init__' in vars(o) and not hasattr(o, '__dataclass_fields__') else o
    missing = [] if inspect.getdoc(o) else ['docstring']
    if is_class and what is o: return missing  # a value: its fields are not parameters of a call
    listed = docments(what, full=True, returns=False).items()
    wanted = [(k, d) for k, d in listed if k != 'self' and d.kind is not inspect.Parameter.VAR_KEYWORD]
    return missing + [k for k, d in wanted if not d.docment]


@pytest.mark.parametrize('module', MODULES)
def test_exported_names_are_documented(module):
    mod = importlib.import_module(f'{LIB}.{module}')
    assert mod.__doc__, 'the chapter has no `>` line after its title'
    named = [o for o in map(vars(mod).get, mod.__all__) if hasattr(o, '__qualname__')]  # functions and classes
    res = {o.__name__: undocumented(o) for o in named if o.__module__ == mod.__name__}
    assert not {k: v for k, v in res.items() if v}, 'a docstring, and a comment on the line of each parameter'


def test_every_module_has_a_chapter():
    assert set(MODULES) == {c.module for c in CHAPTERS if '.' in c.module}
    assert [c.name for c in CHAPTERS if c.module] == [c.module for c in CHAPTERS if c.module]


# --- nothing of this machine

def tracked():
    "Text files of the project: what git has or would take"
    cmd = ['git', 'ls-files', '-co', '--exclude-standard']
    try: out = subprocess.run(cmd, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError): pytest.skip('needs git and a clone')
    names = [f for f in out.stdout.splitlines() if Path(f).suffix not in ('.png', '.gz', '.npz')]
    return [ROOT/f for f in names if (ROOT/f).is_file()]


@pytest.mark.parametrize('what', [
    r'(?<![\w+.~}])/(work|tmp|root|home)/',  # a path of one machine
    r'pypi[.]org|pythonhosted[.]org|npmjs[.]org|index[-]url|find[-]links',
    r'^[ "]*(<{7}|>{7}) \w+'])  # a merge that was not finished
def test_nothing_of_one_machine(what):
    texts = {f.relative_to(ROOT): text(f) for f in tracked()}
    assert not {f'{f}: {m.group()}' for f, t in texts.items() for m in re.finditer(what, t, re.M)}


if __name__ == '__main__':
    for rule in RULES:
        lines = textwrap.wrap(' '.join(offences(rule)), 108)
        if lines: print(f"    {rule.__name__}='''\n        " + '\n        '.join(lines) + "''',")
