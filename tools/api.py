"The exported code as reference: signature, docments and place of every public name, read off the source, not run."
import ast, io, re, tokenize
from dataclasses import dataclass, field

from book import LIB

PLAIN_CLASS = {'dataclass', 'NamedTuple'}
KINDS = {'contextmanager': 'context manager', 'property': 'property', 'staticmethod': 'static method',
         'classmethod': 'class method', 'patch(as_prop=True)': 'property', 'patch(cls_method=True)': 'class method'}


@dataclass
class Param:
    "One row of a table: what the source says about a parameter, a field or the result"
    name: str
    type: str = ''
    default: str = ''
    note: str = ''

    def __str__(self):
        "As in a signature"
        typed = self.name + (f': {self.type}' if self.type else '')
        if not self.default: return typed
        return f'{typed} = {self.default}' if self.type else f'{typed}={self.default}'


@dataclass
class Entry:
    "A public name of a module"
    name: str                 # 'Search' or 'Search.run'
    kind: str                 # 'function', 'class', 'method', 'property', …
    signature: str            # as Python writes it
    doc: str = ''             # docstring
    params: list = field(default_factory=list)
    returns: Param|None = None
    chapter: object = None    # where it is exported
    cell: str = ''            # the source of the cell there
    methods: list = field(default_factory=list)  # of a class, in whatever chapter they are

    @property
    def owner(self): return self.name.rpartition('.')[0]
    @property
    def url(self): return f'{self.chapter.api_page}#{self.name}'
    @property
    def source(self): return f'{self.chapter.page}#def-{self.name}'


class Source:
    "A cell's text: its comments by line, and pieces of it as they were typed"
    def __init__(self, src):
        self.src, tokens = src, tokenize.generate_tokens(io.StringIO(src).readline)
        self.comments = {t.start[0]: t.string.lstrip('#').strip() for t in tokens if t.type == tokenize.COMMENT}
    def note(self, line): return self.comments.get(line, '')
    def typed(self, node): return '' if node is None else ' '.join(ast.get_source_segment(self.src, node).split())


def _code(node): return ast.unparse(node) if node is not None else ''


def _pairs(a):
    "(name as written, argument, default) of every parameter"
    pos = a.posonlyargs + a.args
    res = [(p.arg, p, d) for p, d in zip(pos, [None]*(len(pos) - len(a.defaults)) + a.defaults)]
    if a.vararg: res.append((f'*{a.vararg.arg}', a.vararg, None))
    elif a.kwonlyargs: res.append(('*', ast.arg('*'), None))
    res += [(p.arg, p, d) for p, d in zip(a.kwonlyargs, a.kw_defaults)]
    return res + ([(f'**{a.kwarg.arg}', a.kwarg, None)] if a.kwarg else [])


def parameters(fn, src, method=False):
    "Parameters of a function with the comment on the line of each; the last one on a line has it"
    shared = fn.returns.end_lineno if fn.returns else 0     # there the comment is the result's
    last, res = {}, []
    for name, arg, default in _pairs(fn.args)[method:]:
        line = (default or arg).end_lineno if hasattr(arg, 'lineno') else 0
        res.append(Param(name, src.typed(arg.annotation) if name != '*' else '', src.typed(default)))
        if line != shared and line < fn.body[0].lineno: last[line] = res[-1]
    for line, p in last.items(): p.note = src.note(line)
    return res


def _field(o, src):
    "A field: its text is the comment on its line, or what `option(…)` is told first"
    made = isinstance(o.value, ast.Call) and _code(o.value.func) == 'option'
    default, note = ('', o.value.args[0].value) if made else (src.typed(o.value), src.note(o.end_lineno))
    return Param(o.target.id, src.typed(o.annotation), default, note)


def fields(cls, src):
    "Fields of a dataclass or named tuple"
    own = [o for o in cls.body if isinstance(o, ast.AnnAssign) and not o.target.id.startswith('_')]
    return [_field(o, src) for o in own]


def _signature(name, params, returns=''):
    tail = f') -> {returns}' if returns else ')'
    args = [str(p) for p in params]
    line = f'{name}({", ".join(args)}{tail}'
    return line if len(line) <= 76 else f'{name}(\n    ' + ',\n    '.join(args) + f',\n{tail}'


def _decorators(node): return [_code(d) for d in node.decorator_list]


def function(fn, src, owner=''):
    "The entry of a function or, with `owner`, of a method"
    decorators = _decorators(fn)
    kind = next((KINDS[d] for d in decorators if d in KINDS), 'method' if owner else 'function')
    name = f'{owner}.{fn.name}' if owner else fn.name
    params = parameters(fn, src, method=bool(owner) and kind != 'static method')
    returns = Param('', src.typed(fn.returns), '', src.note(fn.returns.end_lineno)) if fn.returns else None
    shown = owner if fn.name == '__call__' else name
    type_ = returns.type if returns else ''
    sig = shown + (f': {type_}' if type_ else '') if kind == 'property' else _signature(shown, params, type_)
    if fn.name == '__call__': sig = f'{owner}(…){sig[len(shown):]}'
    rows = [] if kind == 'property' else [p for p in params if p.name != '*']
    return Entry(name, kind, sig, ast.get_docstring(fn) or '', rows, returns)


def class_entries(cls, src):
    "The entry of a class and those of its public methods"
    bases, methods = [_code(b) for b in cls.bases], [o for o in cls.body if isinstance(o, ast.FunctionDef)]
    init = next((m for m in methods if m.name == '__init__'), None)
    value = PLAIN_CLASS & {re.match(r'[\w.]*', d)[0] for d in _decorators(cls) + bases}
    params = parameters(init, src, True) if init else fields(cls, src) if value else []
    head = _signature(cls.name, params) if params or init else cls.name
    sig = f'class {head}' if not bases else f'class {head}  # {", ".join(bases)}'
    if '\n' in head and bases: sig = f'class {head}'.replace('(\n', f'(  # {", ".join(bases)}\n', 1)
    rows = [p for p in params if p.name != '*']
    yield Entry(cls.name, 'value' if value else 'class', sig, ast.get_docstring(cls) or '', rows)
    yield from (function(m, src, cls.name) for m in methods if public(m.name) and not adds(m))


def adds(fn):
    "Does it add to a property, which has its entry?"
    return any(d.endswith(('.setter', '.deleter')) for d in _decorators(fn))


def public(name): return name == '__call__' or not name.startswith('_')


def shortened(line, n): return line if len(line) <= n else line[:n] + '…'


def constant(node, name, src):
    "The entry of a name that is assigned: the start of its source and the comment on its line"
    lines = ast.get_source_segment(src.src, node).splitlines()
    cut = '\n'.join([shortened(line, 130) for line in lines[:8]] + ['…']*min(1, len(lines[8:])))
    return Entry(name, 'constant', cut, src.note(node.end_lineno) or src.note(node.lineno))


def _names(node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    found = [n.id for t in targets for n in (t.elts if isinstance(t, ast.Tuple) else [t]) if isinstance(n, ast.Name)]
    return [n for n in found if public(n)]


def entries(src):
    "Every public name that the cell `src` defines"
    src = Source(src)
    for node in ast.parse(src.src).body:
        if isinstance(node, ast.FunctionDef) and public(node.name):
            patched = [d for d in _decorators(node) if d.split('(')[0] == 'patch']
            owners = [''] if not patched else re.findall(r'\w+', _code(node.args.args[0].annotation))
            yield from (function(node, src, o) for o in owners)
        elif isinstance(node, ast.ClassDef) and public(node.name): yield from class_entries(node, src)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from (constant(node, n, src) for n in _names(node))


def read_api(book):
    "module -> entries in order, each method behind its class where that is in the same module"
    res = {}
    for c in (c for c in book if c.module):
        found = {}
        for src in c.exports:
            for e in entries(src):
                e.chapter, e.cell = c, src
                found[e.name] = e  # the last definition counts, as in Python
        order = {n: i for i, n in enumerate(found)}
        c.public = set(found)
        res[c.module] = sorted(found.values(), key=lambda e: (order.get(e.owner, order[e.name]), order[e.name]))
    classes = {e.name: e for es in res.values() for e in es if e.kind in ('class', 'value')}
    for es in res.values():
        for e in es:
            if e.owner in classes: classes[e.owner].methods.append(e)
    return res


class Names:
    "Where a name mentioned in prose is documented"
    def __init__(self, api):
        self.api, self.known = api, {}
        for mod, es in api.items():
            for e in es: self.known.setdefault(e.name, {})[mod] = e

    def find(self, text, chapter):
        "The address for `text` as `chapter` writes it, or None: own names, imported ones, those of which there is one"
        text = re.sub(r'\(.*\)$', '', text, flags=re.S)
        if not re.fullmatch(r'[\w.]+', text): return None
        text = text.removeprefix(f'{LIB}.') if (whole := text.startswith(f'{LIB}.')) else text
        if whole and text in self.api: return f'api_{text}.html'
        for mod in self.api:
            if text.startswith(f'{mod}.') and (e := self.known.get(text[len(mod) + 1:], {}).get(mod)): return e.url
        places = self.known.get(text, {})
        own = places.get(chapter.module) or places.get(chapter.imports.get(text.partition('.')[0]))
        if own: return own.url
        return next(iter(places.values())).url if len(places) == 1 and re.search(r'[A-Z_.]', text) else None
