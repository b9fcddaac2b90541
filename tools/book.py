"The notebooks as a book: parts, chapters, their cells without what is hidden, and the code they export."
import ast, re

import nbformat
from nbdev.config import get_config

CFG = get_config()
ROOT, LIB = CFG.config_path, CFG.lib_path.name
HIDDEN = {'hide', 'default_exp', 'include: false'}
NO_CODE, NO_OUTPUT = {'hide_input', 'echo: false'}, {'hide_output', 'output: false'}
FOLDED = {'collapse_input', 'code-fold: true'}
EXPORT = {'export', 'exports', 'exporti'}


def flags(cell):
    "Directives of a cell: the whole line of one with a value (`echo: false`), the first word of another"
    lines = re.findall(r'^#\|\s*(\S.*?)\s*$', cell.source, re.M) if cell.cell_type == 'code' else []
    return {re.sub(r':\s*', ': ', l).lower() if ':' in l else l.split()[0] for l in lines}


def only_imports(src):
    "Whether the code is imports and nothing else"
    try: body = ast.parse(src).body
    except SyntaxError: return False  # a magic
    return bool(body) and all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body)


def plain(src): return re.sub(r'^#\|.*\n?', '', src, flags=re.M).strip()


def only_checks(src):
    "Whether code that is folded checks something and draws nothing"
    return bool(re.search(r'\bassert\b|\bassert_close\(|\btest_\w+\(', src)) and 'plt.' not in src


def tags(fl, src):
    "What a code cell is: exported, without source, folded (`checks`, `code`, `imports`)"
    folded = 'checks' if only_checks(src) else 'code'
    res = [t for t, among in (('export', EXPORT), ('hide_input', NO_CODE), (folded, FOLDED)) if among & fl]
    return [*res, 'imports'] if only_imports(src) else res


def alt(cell, heading):
    "What `#| fig-alt: ` says of the cell's figure, else the heading above it"
    said = re.search(r'^#\|\s*fig-alt:\s*(.*\S)', cell.source, re.M)
    return said[1] if said else heading


def load(path):
    "The notebook at `path` without hidden cells and directive lines; figures are named by `fig-alt`, or the heading above"
    nb, heading = nbformat.read(path, 4), path.stem
    nb.cells = [c for c in nb.cells if not HIDDEN & flags(c)]
    for c in nb.cells:
        if c.cell_type == 'markdown':
            heading = (re.findall(r'^#+ (.*)$', c.source, re.M) or [heading])[-1].replace('`', '').replace('$', '')
        elif c.cell_type == 'code':
            c.metadata['alt'], fl = alt(c, heading), flags(c)
            c.source, c.execution_count = plain(c.source), None
            c.metadata['tags'] = tags(fl, c.source)
            if NO_CODE & fl: c.metadata['transient'] = {'remove_source': True}  # for nbconvert
            if NO_OUTPUT & fl: c.outputs = []
    nb.metadata['language_info'] = dict(name='python', file_extension='.py', pygments_lexer='ipython3')
    return nb


def imported(src):
    "name -> module of the library, for what the code imports from it"
    found = re.findall(rf'^from {LIB}\.([\w.]+) import (\([^)]*\)|.*)$', src, re.M)
    return {n: mod for mod, names in found for n in re.findall(r'\w+', names)}


class Chapter:
    "One notebook: `folder` and `name` from its path, `part`, `title`, `lead` (the `>` line), cells"
    def __init__(self, path):
        self.path, self.nb = path, load(path)
        self.folder = path.parent if path.parent.parent == CFG.nbs_path else None  # None for the front door
        name, package = bare(path.stem), bare(self.folder.name) if self.folder else ''
        self.opens = path.stem == f'0_{package}'
        self.name = f'{package}.{name}' if package and not self.opens else name
        self.page = f'{self.name}.html'
        text = '\n'.join(c.source for c in self.nb.cells if c.cell_type == 'markdown')
        if not (title := re.search(r'^# (.*)$', text, re.M)):
            raise ValueError(f'{path.name}: a chapter begins with "# Title"')
        self.title = title[1]
        self.lead = next(iter(re.findall(r'^> (.*)$', text, re.M)), '')
        raw = [c for c in nbformat.read(path, 4).cells if c.cell_type == 'code']
        self.imports = imported('\n'.join(c.source for c in raw))
        self.exports = [plain(c.source) for c in raw if {'export', 'exports'} & flags(c)]
        self.public = set()  # names that it documents, see api.py
        module = next((m for c in raw for m in re.findall(r'^#\|\s*default_exp ([\w.]+)', c.source, re.M)), '')
        self.module = '' if module.endswith('__init__') else module  # a face defines nothing of its own
        self.part = ''  # the title of the page that opens its folder, see `read_book`

    @property
    def api_page(self): return f'api_{self.module}.html'


def bare(stem): return re.sub(r'^\d+[a-z]?_', '', stem)


def notebooks(): return sorted(CFG.nbs_path.glob('[0-9e]*/[0-9]*.ipynb'))


def read_book():
    "Every chapter in order, the front door first; ValueError where two would have the same page"
    book, seen = [Chapter(p) for p in (ROOT/CFG.readme_nb, *notebooks())], {}
    for c in book:
        if c.folder: c.part = next((o.title for o in book if o.opens and o.folder == c.folder), '')
        if c.folder and not c.part: raise ValueError(f'{c.folder.name} has no page that opens it')
    for c in book:
        if c.page in seen: raise ValueError(f'{c.path.name} and {seen[c.page]} would both be {c.page}: rename one')
        seen[c.page] = c.path.name
    return book
