"README.md and the site: rendered from what is here, the same each time, complete, linked, and asking no other host."
import ast, json, os, re, shutil, subprocess, sys
from pathlib import Path

import nbformat, pytest
from bs4 import BeautifulSoup

from chromium import NEEDED

ROOT = Path(__file__).resolve().parents[1]


def render(root):
    "Run tools/docs.py in `root`; the bytes of everything it wrote"
    env = {**os.environ, 'PYTHONHASHSEED': 'random'}
    subprocess.run([sys.executable, 'tools/docs.py'], cwd=root, check=True, env=env)
    files = [root/'README.md', *(root/'index_files').glob('*'), *(p for p in (root/'_docs').rglob('*') if p.is_file())]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    "A copy of the sources with its rendered pages"
    root = tmp_path_factory.mktemp('book')
    skip = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', 'runs')
    for d in ('nbs', 'tools'): shutil.copytree(ROOT/d, root/d, symlinks=True, ignore=skip)
    for f in ROOT.glob('*'):
        if f.is_file(): shutil.copy2(f, root)
    return root, render(root)


@pytest.fixture(scope='module')
def pages(copy):
    "file name -> parsed page"
    files = (copy[0]/'_docs').glob('*.html')
    return {p.name: BeautifulSoup(p.read_text(encoding='utf-8'), 'html.parser') for p in files}


@pytest.fixture
def tools(copy, monkeypatch):
    "The modules of tools/ of the copy"
    monkeypatch.chdir(copy[0])
    monkeypatch.syspath_prepend(copy[0]/'tools')
    import api, book, pages, render
    yield {m.__name__: m for m in (api, book, pages, render)}
    for m in ('api', 'book', 'pages', 'render'): sys.modules.pop(m)


def test_readme_is_rendered(copy):
    here = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in [ROOT/'README.md', *(ROOT/'index_files').glob('*')]}
    assert here == {k: v for k, v in copy[1].items() if not k.startswith('_docs')}, 'run tools/docs.py and commit'


def test_python_in_the_readme():
    "Every block compiles, and what it imports is there"
    blocks = re.findall(r'```python\n(.*?)```', (ROOT/'README.md').read_text(encoding='utf-8'), re.S)
    imports = [n for b in blocks for n in ast.walk(ast.parse(b)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert len(blocks) >= 3 and len(imports) >= len(blocks)
    for n in imports: exec(ast.unparse(n), {})


def test_rendered_twice_is_the_same(copy): assert render(copy[0]) == copy[1]


def test_site_is_complete(copy, pages):
    books = sorted((copy[0]/'nbs').glob('*/[0-9]*.ipynb'))
    exporting = [b for b in books if not b.stem.startswith('0_') and '#| default_exp' in b.read_text(encoding='utf-8')]
    assert len(pages) == 1 + len(books) + 1 + len(exporting)
    for page, soup in pages.items():
        assert soup.find('h1') and soup.find('title').text, page
        assert len(soup.select('nav .here')) == (page != 'index.html'), page
    last, opening = pages['experiments.whole_loop.html'], [b for b in books if b.stem.startswith('0_')]
    titles = [json.loads(b.read_text(encoding='utf-8'))['cells'][0]['source'][0].strip('# \n') for b in opening]
    assert [p.text for p in pages['index.html'].select('nav summary')] == [*titles, 'Reference']
    assert {b.parent.name for b in books} == {b.parent.name for b in opening}
    assert last.select_one('nav details[open] summary').text == 'Experiments'
    assert last.select_one('footer [rel=prev]') and not last.select_one('footer [rel=next]')


def test_an_opening_page_shows_the_names_of_its_package(pages):
    page = pages['theory.html']
    assert page.select_one('nav a.here').text == 'Overview' and not page.select('.where')
    assert 'api_theory.regularizer.html#AlignmentRegularizer' in [a['href'] for a in page.select('table.names a')]
    assert 'face(' not in page.select_one('main').text


def loaded(soup): return [t.get(k) for t in soup.select('script, link, img, iframe, image, source, object, embed, use')
                          for k in ('src', 'href', 'data', 'xlink:href', 'srcset') if t.get(k)]


def test_no_page_loads_from_a_host(copy, pages):
    for page, soup in pages.items():
        framed = [BeautifulSoup(f['srcdoc'], 'html.parser') for f in soup.select('iframe[srcdoc]')]
        for s in [soup, *framed]:
            assert not [u for u in loaded(s) if re.match('(https?:)?//', u)], page
            texts = [t.text.replace('http://www.w3.org/', '') for t in s.select('script, style')]
            assert not [t for t in texts if re.search('https?://|@import', t)], page
    for name, data in copy[1].items():
        if name.endswith(('.css', 'search.js', 'simplex.js')):
            assert not re.search(rb'https?://|@import|url\(', data), name


def test_a_script_is_on_the_pages_that_use_it(pages):
    moved = {page for page, soup in pages.items() if soup.select('.simplex')}
    assert moved == {'theory.alignment.html'} == {p for p, s in pages.items() if s.select('script[src="simplex.js"]')}
    assert 'can be moved' in pages['theory.alignment.html'].select_one('.simplex').text    # without the script, too


def test_internal_links(copy, pages):
    ids = {page: [t['id'] for t in soup.select('[id]')] for page, soup in pages.items()}
    assert not {page: [i for i in i_s if i_s.count(i) > 1] for page, i_s in ids.items() if len(i_s) > len(set(i_s))}
    for page, soup in pages.items():
        for a in soup.select('a[href], img[src]'):
            file, _, frag = (a.get('href') or a['src']).partition('#')
            if re.match('[a-z]+:', file): continue
            assert f'_docs/{file or page}' in copy[1], f'{page}: {file}'
            assert not frag or frag in ids[file or page], f'{page}: {file}#{frag}'


def exported(file):
    "The names of `__all__` in a module's source"
    tree = ast.parse(file.read_text(encoding='utf-8'))
    targets = [(n.targets[0], n.value) for n in tree.body if isinstance(n, ast.Assign)]
    return next(ast.literal_eval(v) for t, v in targets if isinstance(t, ast.Name) and t.id == '__all__')


def test_every_exported_name_has_an_entry(pages):
    for file in sorted((ROOT/'lambda_darts').glob('*/[!_]*.py')):
        have = {t['id'] for t in pages[f'api_{file.parent.name}.{file.stem}.html'].select('.entry')}
        assert set(exported(file)) <= have, f'{file.stem}: {set(exported(file)) - have}'


def test_an_entry_says_what_the_signature_says(pages):
    entry = pages['api_theory.regularizer.html'].find(id='AlignmentRegularizer')
    rows = {r.td.text: [c.text for c in r.select('td')[1:]] for r in entry.select('.params tbody tr')}
    type_, default, comment = rows['kind']
    assert (type_, default) == ('str', "'cosine'")
    assert comment == "'cosine' (Λ), 'sign' (its signed twin) or 'felt' (Λ of J g_l, what α feels)"
    assert entry.select_one('.source')['href'] == 'theory.regularizer.html#def-AlignmentRegularizer'
    assert 'AlignmentRegularizer.__call__' in {a['href'].partition('#')[2] for a in entry.select('.returns a')}


CELL = '''from dataclasses import dataclass
LIMIT = 1e-3 # how far
@dataclass(frozen=True)
class Value:
    "A value"
    size:int=3 # of it
class Thing(Base):
    "A thing"
    def __init__(self,
                 a:int, # first
                 *rest, # more
                 key:str='x', # named
                 **kw): self.a = a
    @property
    def big(self) -> bool: return True # hidden
    def _own(self): pass
@patch
def grow(self:Thing, by:float=1e-3 # how much
        ) -> Value: # the new one
    "Grows `by`"
    return Value()
def _private(): pass
'''


def test_entries_from_source(tools):
    es = {e.name: e for e in tools['api'].entries(CELL)}
    assert list(es) == ['LIMIT', 'Value', 'Thing', 'Thing.big', 'Thing.grow']
    assert (es['LIMIT'].signature, es['LIMIT'].doc) == ('LIMIT = 1e-3', 'how far')
    assert [(p.name, p.default, p.note) for p in es['Thing'].params] == [
        ('a', '', 'first'), ('*rest', '', 'more'), ('key', "'x'", 'named'), ('**kw', '', '')]
    assert [str(p) for p in es['Value'].params] == ['size: int = 3'] and es['Value'].kind == 'value'
    assert es['Thing.grow'].signature == 'Thing.grow(by: float = 1e-3) -> Value'
    assert (es['Thing.grow'].params[0].note, es['Thing.grow'].returns.note) == ('how much', 'the new one')
    assert es['Thing.big'].kind == 'property' and 'Base' in es['Thing'].signature


def test_names_in_prose_lead_to_their_documentation(tools):
    site = tools['pages'].Site()
    find, chapter = site.names.find, {c.name: c for c in site.book}
    assert find('AlignmentRegularizer', chapter['index']) == 'api_theory.regularizer.html#AlignmentRegularizer'
    assert find('Run.run', chapter['index']) == 'api_runs.run.html#Run.run'
    assert find('alignment(grads)', chapter['theory.alignment']) == 'api_theory.alignment.html#alignment'
    assert find('lambda_darts.core.state.set_seed', chapter['index']) == 'api_core.state.html#set_seed'
    assert find('first', chapter['index']) is None  # a word is no name
    assert find('no_such_name', chapter['core.state']) is None


def test_hidden_cells_stay_hidden(tools, tmp_path):
    cells = ['#| hide\nsecret()', '#| hide_input\nquiet()', '#| echo: false\nmute()', '#| hide_output\nshown()',
             '#| default_exp thing', '#| export\ndef public(): return 1', '#| export\nimport os']
    outs = [nbformat.v4.new_output('stream', text=f'out {i}') for i in range(len(cells))]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell('# T')] + [
        nbformat.v4.new_code_cell(c, outputs=[o]) for c, o in zip(cells, outs)])
    nbformat.write(nb, tmp_path/'3_thing.ipynb')
    chapter, render, files = tools['book'].Chapter(tmp_path/'3_thing.ipynb'), tools['render'], {}
    page = ''.join(render.code_cell(c, 's', [], chapter, lambda n: None, files, None) for c in chapter.nb.cells[1:])
    text = BeautifulSoup(page, 'html.parser').text
    words = 'secret', 'quiet', 'mute', 'shown', 'default_exp', 'public', '#|'
    assert [w for w in words if w in text] == ['shown', 'public']
    assert re.findall(r'out \d', text) == ['out 1', 'out 2', 'out 5', 'out 6'] and 'imports' in text
    assert chapter.exports == ['def public(): return 1', 'import os']


def test_checks_are_folded_and_figures_have_words(tools, tmp_path):
    cells = ['#| code-fold: true\nassert value == 1',
             '#| code-fold: true\n#| fig-alt: A red line\nplt.plot(x); plt.show()',
             '#| code-fold: true\nx = 1', 'assert seen']
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell('# T'), *map(nbformat.v4.new_code_cell, cells)])
    nbformat.write(nb, tmp_path/'3_thing.ipynb')
    chapter, render, files = tools['book'].Chapter(tmp_path/'3_thing.ipynb'), tools['render'], {}
    cells = chapter.nb.cells[1:]
    pages = [BeautifulSoup(render.code_cell(c, 's', [], chapter, lambda n: None, files), 'html.parser') for c in cells]
    assert [p.summary and p.summary.text for p in pages] == ['checks', 'code', 'code', None]
    assert [c.metadata['alt'] for c in cells] == ['T', 'A red line', 'T', 'T'] and 'fig-alt' not in pages[1].text


def test_errors_name_what_is_wrong(tools, copy, monkeypatch):
    render, pages = tools['render'], tools['pages']
    with pytest.raises(ValueError, match='cannot be rendered'): render.mathml(r'\nosuchcommand x')
    with pytest.raises(ValueError, match='no such chapter'): render.relink('index.ipynb', copy[0], {})
    with pytest.raises(ValueError, match='no such file'): render.relink('NOTHING.md', copy[0], {})
    with pytest.raises(ValueError, match='a.html links to b.html: there is no such page'):
        pages.check({'a.html': '<a href="b.html">'})
    with pytest.raises(ValueError, match='a.html links to #x: there is no such place'):
        pages.check({'a.html': '<a href="#x">'})
    with pytest.raises(ValueError, match='a.html links to f.png'): pages.check({'a.html': '<img src="f.png">'})
    pages.check({'a.html': '<a href="b.html#y">', 'b.html': '<p id="y"><a href="https://example.org">'})
    twice = [copy[0]/'nbs/0_core'/f'{n}.ipynb' for n in ('0_core', '1_files', '1_files')]
    monkeypatch.setattr(tools['book'], 'notebooks', lambda: twice)
    with pytest.raises(ValueError, match='1_files.ipynb and 1_files.ipynb would both be core.files.html'):
        tools['book'].read_book()


def test_outputs_in_markdown_are_rendered(tools, copy, pages):
    render, out = tools['render'], nbformat.v4.new_output('display_data', {'text/markdown': '| a |\n|---|\n| *b* |'})
    renderer = render.Renderer(lambda n: None, {}, copy[0])
    shown = BeautifulSoup(render.output(out, 's', 'alt', {}, renderer), 'html.parser')
    assert shown.select_one('table td em').text == 'b' and '|' not in shown.text
    assert pages['index.html'].select_one('.outputs table a')['href'].endswith('.html')


def test_formulas(tools):
    mathml = tools['render'].mathml
    assert '‖' in mathml(r'\Big\|x\Big\|') and 'ℝ' in mathml(r'\mathbb R') and '&lt;' in mathml('a<b')
    assert '<mi mathvariant="normal">Λ</mi>' in mathml(r'\Lambda')
    assert '<munder><mo movablelimits="true">max' in mathml(r'\max_i x')
    long = mathml(r'a_1 = f(x = y) + \frac{b}{c} \approx d_2')
    assert long.count('<math') == 3 and long.count('<wbr>') == 2  # broken behind = and ≈, not inside the brackets


@pytest.fixture(scope='module')
def page(browser): return browser()


ASIDE, PAPER = (f'getComputedStyle(document.{e})' for e in ('querySelector("aside")', 'body'))
FIND = '''(() => { const box = document.getElementById('find'); box.focus(); box.value = 'saturation';
                 box.dispatchEvent(new Event('input')) })()'''


def chromium(test):
    for mark in NEEDED: test = mark(test)
    return test


@chromium
def test_on_a_phone(page, copy, pages):
    "No page scrolls sideways, asks another host, or has an error; the search finds what it should"
    site = copy[0]/'_docs'
    page.size(390)
    for name in sorted(pages):
        page.goto((site/name).as_uri())
        assert not [u for u in page.requests if not u.startswith((site.as_uri(), 'data:'))], name
        assert page.fits() and not page.errors, name
        assert page.js(f'{ASIDE}.display') == 'none', name
    page.goto((site/'index.html').as_uri())
    page.js(FIND)
    page.see('document.querySelector("#found a") !== null')
    found = page.js('[...document.querySelectorAll("#found a")].map(a => a.getAttribute("href"))')
    assert 'theory.saturation.html' in found[:3]


@chromium
@pytest.mark.parametrize('colours,paper', [('light', 'rgb(255, 255, 255)'), ('dark', 'rgb(21, 25, 30)')])
def test_on_a_desk(page, copy, colours, paper):
    page.size(1280)
    page.colours(colours)
    for name in 'index.html', 'theory.regularizer.html', 'api_theory.regularizer.html':
        page.goto((copy[0]/'_docs'/name).as_uri())
        assert page.fits() and page.js(f'{ASIDE}.display') != 'none' and page.js(f'{PAPER}.backgroundColor') == paper
