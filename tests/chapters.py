"The book as the tests read it: every notebook in order, its cells, the module that it exports and what that imports."
import ast, json, re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nbdev.config import get_config

ROOT = Path(__file__).resolve().parents[1]
CFG = get_config(path=ROOT)
LIB = CFG.lib_path.name
EXPORT = {'export', 'exports', 'exporti'}
FLOORS = dict(core=1, theory=2, cells=2, data=2, runs=3, search=4, networks=4, widgets=5, bench=5, cli=6, experiments=7)


def python(src):
    "The source of a cell without lines that are magics"
    return '' if src.lstrip().startswith('%%') else re.sub(r'^\s*[%!].*$', '', src, flags=re.M)


def bound(source, imported=True):
    "The names to which code gives a value in its own room: not in a function, a class or a comprehension"
    kinds, tree, names = (ast.FunctionDef, ast.ClassDef), ast.parse(python(source)), set()
    inner = {id(x) for n in ast.walk(tree) if isinstance(n, (*kinds, ast.Lambda)) for x in ast.walk(n)}
    inner |= {id(x) for n in ast.walk(tree) if isinstance(n, ast.comprehension) for x in ast.walk(n.target)}
    for n in ast.walk(tree):
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in inner: names.add(n.id)
    for n in tree.body:
        if isinstance(n, kinds) and not patched(n): names.add(n.name)
        elif imported and isinstance(n, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).split('.')[0] for a in n.names}
    return names


def patched(n): return any(ast.unparse(d).split('(')[0] == 'patch' for d in n.decorator_list)
def bare(stem): return re.sub(r'^\d+[a-z]?_', '', stem)


@dataclass(frozen=True)
class Cell:
    "One cell: its id, whether it is code, its source and its directives"
    id: str
    kind: str
    source: str

    @cached_property
    def flags(self): return {line.split()[0] for line in re.findall(r'^#\|\s*(\S.*)$', self.source, re.M)}
    @property
    def exported(self): return bool(EXPORT & self.flags)


@dataclass(frozen=True)
class Chapter:
    "One notebook: `name` is `package.module` of its path, `module` what it exports ('' where it only uses the library)"
    path: Path

    @cached_property
    def cells(self):
        found = json.loads(self.path.read_text(encoding='utf-8'))['cells']
        return [Cell(c['id'], c['cell_type'], ''.join(c['source'])) for c in found]

    @property
    def code(self): return [c for c in self.cells if c.kind == 'code']
    @property
    def package(self): return bare(self.path.parent.name) if self.path.parent.parent == CFG.nbs_path else ''

    @property
    def name(self):
        "That of an opening page is its package"
        opens = self.path.stem == f'0_{self.package}'
        return self.package if opens else f'{self.package}.{bare(self.path.stem)}'.strip('.')

    @cached_property
    def module(self):
        found = re.findall(r'^#\|\s*default_exp ([\w.]+)', '\n'.join(c.source for c in self.code), re.M)
        return found[0].removesuffix('__init__').strip('.') if found else ''

    @property
    def source(self): return '\n'.join(python(c.source) for c in self.code)
    def __str__(self): return f'{self.path.parent.name}/{self.path.stem}' if self.package else self.path.stem


CHAPTERS = [Chapter(p) for p in sorted(CFG.nbs_path.glob('[0-9e]*/[0-9]*.ipynb'))]
BOOK = [Chapter(ROOT/CFG.readme_nb), *CHAPTERS]
MODULES = {f'{p.parent.name}.{p.stem}': p for p in sorted(CFG.lib_path.glob('*/[!_]*.py'))}


def faces():
    "package -> public name -> its module, read off the opening pages"
    calls = [(c.package, n) for c in CHAPTERS for n in ast.walk(ast.parse(c.source))
             if isinstance(n, ast.Call) and ast.unparse(n.func) == 'face']
    return {package: {name: f'{package}.{k.arg}' for k in n.keywords for name in ast.literal_eval(k.value).split()}
            for package, n in calls}


FACES = faces()


@dataclass(frozen=True)
class Import:
    "What one name is imported from: `name` of `module` (below the library), or the module itself where `name` is empty"
    line: int
    module: str
    name: str
    bound: str  # as what


def imports(source, package=''):
    "Every import of the library in `source`, of a face resolved to the module that has the name"
    for n in ast.walk(ast.parse(source)):
        if isinstance(n, ast.Import):
            found = [(a.name.removeprefix(f'{LIB}.'), a.asname or '') for a in n.names if a.name.startswith(f'{LIB}.')]
            yield from (Import(n.lineno, module, '', bound) for module, bound in found)
        elif isinstance(n, ast.ImportFrom):
            module = n.module or ''
            if n.level == 1: module = '.'.join(filter(None, [LIB, package, module]))
            if n.level == 2: module = '.'.join(filter(None, [LIB, module]))
            if module.split('.')[0] != LIB: continue
            for a in n.names: yield resolved(n.lineno, module.removeprefix(LIB).strip('.'), a.name, a.asname or a.name)


def resolved(line, module, name, bound):
    "An import with its true module"
    if name in FACES.get(module, {}): return Import(line, FACES[module][name], name, bound)
    inner = f'{module}.{name}' if module else name
    if inner in MODULES or inner in FACES: return Import(line, inner, '', bound)
    return Import(line, module, name, bound)
