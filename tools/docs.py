"Render README.md from index.ipynb and the site in _docs/ from every chapter: nbconvert, no Quarto, no network."
import html, re, unicodedata
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter, MarkdownExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbdev.config import get_config
from pygments.formatters import HtmlFormatter

CFG = get_config()
ROOT, TOOLS = CFG.config_path, Path(__file__).parent
HIDDEN, NO_CODE = {'hide', 'default_exp'}, {'hide_input', 'echo:'}
DEFINED = r'^(?:def|class) (\w+)'
PAGE = '''<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="style.css"></head>
<body><nav>{nav}</nav><main>{body}<footer>{footer}</footer></main></body></html>
'''


def page_name(book): return re.sub(r'^\d+[a-z]?_', '', book.stem) + '.html'


def flags(cell): return set(re.findall(r'^#\|\s*(\S+)', cell.source, re.M)) if cell.cell_type == 'code' else set()


def load(book):
    "The notebook without hidden cells and directive lines, and the names it exports; figures are named after their heading"
    nb, cells, names, heading = nbformat.read(book, 4), [], [], book.stem
    for c in nb.cells:
        if (fl := flags(c)) & HIDDEN: continue
        if c.cell_type == 'markdown':
            heading = (re.findall(r'^#+ (.*)$', c.source, re.M) or [heading])[-1].replace('`', '').replace('$', '')
        elif c.cell_type == 'code':
            c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M).strip()
            c.metadata['alt'], c.execution_count = heading, None
            c.metadata['tags'] = ['export'] if 'export' in fl else []
            if 'export' in fl: names += re.findall(DEFINED, c.source, re.M)
            if NO_CODE & fl: c.metadata['transient'] = {'remove_source': True}
            if 'hide_output' in fl: c.outputs = []
        cells.append(c)
    nb.cells = cells
    nb.metadata['language_info'] = dict(name='python', file_extension='.py', pygments_lexer='ipython3')
    title = next(re.findall(r'^# (.*)$', c.source, re.M)[0] for c in cells if c.cell_type == 'markdown')
    return nb, title, names


def _letter(m):
    "One letter in a mathematical alphabet of Unicode, which browsers draw, for `mathvariant`, which they don't"
    tag, style, char = m.group(1), m.group(2).upper(), m.group(3)
    name = re.sub('LATIN |GREEK |LETTER ', '', unicodedata.name(char))
    for o in (style, style.replace('-', ' ')):
        for full in (f'MATHEMATICAL {o} {name}', f'{o} {name}'):
            try: return f'<{tag}>{unicodedata.lookup(full)}</{tag}>'
            except KeyError: pass
    return m.group(0)


def mathml(tex, display='inline'):
    "`tex` as MathML; ValueError where a command is unknown"
    tex = re.sub(r'\\arg(?![a-z])', r'\\operatorname{arg}', re.sub(r'(\\[bB]igg?[lr]?)\s*\\(\||[lr]?Vert)', r'\1‖', tex))
    res = html.unescape(convert(tex, display=display).replace('&#x0003C;', '&amp;lt;').replace('&#x00026;', '&amp;amp;'))
    if bad := re.findall(r'\\[A-Za-z]+', res):
        raise ValueError(f'the formula ${tex}$ has commands that cannot be rendered: {bad}')
    return re.sub(r'<(mi|mn) mathvariant="(script|double-struck|bold|bold-italic|fraktur)">(.)</\1>', _letter, res)


class Renderer(IPythonRenderer):
    "Markdown whose formulas become MathML"
    def inline_math(self, body): return mathml(body)
    def block_math(self, body): return mathml(body, 'block')
    def latex_environment(self, name, body): return mathml(f'\\begin{{{name}}}{body}\\end{{{name}}}', 'block')


class Site(HTMLExporter):
    "The cells alone, without a page around them"
    def __init__(self): super().__init__(template_name='basic', exclude_input_prompt=True, exclude_output_prompt=True)
    def default_filters(self):
        yield from super().default_filters()
        yield 'markdown2html', lambda src: MarkdownWithMath(renderer=Renderer(escape=False)).render(src)
        yield 'clean_html', lambda src: src  # these are our own notebooks


def relink(url, place, pages):
    "Where `url` of a notebook points in the site (`place` None) or in README.md, which links notebooks below `place`"
    if re.match(r'[a-z]+:|#', url): return url
    file, _, frag = url.partition('#')
    stem = Path(file).stem
    if not file.endswith('.ipynb'):
        url, file = (re.sub(r'^(\.\./)+', '', u) for u in (url, file))
        if not (ROOT/file).exists(): raise ValueError(f'link to {url}: there is no such file')
        return url if place else f'{CFG.git_url}/blob/{CFG.branch}/{url}'
    if stem not in pages: raise ValueError(f'link to {url}: there is no such chapter')
    return f'{place}/{stem}.ipynb' if place else pages[stem] + (f'#{frag}' if frag else '')


def decorate(body, pages, defined):
    "Anchors where a name is defined, links where it is mentioned, links between chapters"
    soup = BeautifulSoup(body, 'html.parser')
    for cell in soup.select('.celltag_export'):
        for name in re.findall(DEFINED, cell.text, re.M): cell.insert(0, soup.new_tag('a', id=name))
    for a in soup.select('a[href]'): a['href'] = relink(a['href'], None, pages)
    for code in soup.select('code'):
        if code.text in defined and not code.find_parent(['pre', 'a']):
            code.wrap(soup.new_tag('a', href=f'{defined[code.text]}#{code.text}'))
    return str(soup)


def site(books, pages):
    "Every chapter as a page of _docs/"
    docs, loaded, exporter = ROOT/CFG.doc_path.name, {b: load(b) for b in books}, Site()
    docs.mkdir(exist_ok=True)
    for old in docs.glob('*.html'): old.unlink()
    style = (TOOLS/'style.css').read_text(encoding='utf-8') + HtmlFormatter(style='friendly').get_style_defs('.highlight') + '\n'
    (docs/'style.css').write_text(style, encoding='utf-8')
    defined = {n: pages[b.stem] for b, (_, _, names) in loaded.items() for n in names}
    links = [f'<a href="{pages[b.stem]}">{html.escape(title)}</a>' for b, (_, title, _) in loaded.items()]
    for i, (b, (nb, title, _)) in enumerate(loaded.items()):
        try: body = decorate(exporter.from_notebook_node(nb)[0], pages, defined)
        except ValueError as e: raise ValueError(f'{b.name}: {e}') from e
        nav = '\n'.join(l.replace('<a', '<a class="here"') if j == i else l for j, l in enumerate(links))
        footer = (f'← {links[i-1]}' if i else '') + (f'<span>{links[i+1]} →</span>' if i+1 < len(links) else '')
        page = PAGE.format(title=html.escape(title), nav=nav, body=body, footer=footer)
        (docs/pages[b.stem]).write_text(page, encoding='utf-8')


def readme(pages):
    "README.md and its pictures"
    nb, _, _ = load(ROOT/CFG.readme_nb)
    for c in nb.cells:
        if c.cell_type == 'markdown':
            c.source = re.sub(r'\]\(([^)\s]+)\)', lambda m: f']({relink(m[1], CFG.nbs_path.name, pages)})', c.source)
    body, res = MarkdownExporter().from_notebook_node(nb, {'output_files_dir': 'index_files', 'unique_key': 'index'})
    body = re.sub(r'!\[\w+\](?=\(index_files/index_(\d+)_)', lambda m: f'![{nb.cells[int(m[1])].metadata["alt"]}]', body)
    body = re.sub(r'<style.*?</style>\n?', '', body, flags=re.S)  # GitHub shows it as text
    (ROOT/'README.md').write_text(re.sub(r'\n([ ]*\n)+\n*', '\n\n', body).strip() + '\n', encoding='utf-8')
    for old in (ROOT/'index_files').glob('index_*'): old.unlink()
    for name, data in res['outputs'].items():
        (ROOT/name).parent.mkdir(exist_ok=True)
        (ROOT/name).write_bytes(data)


def main():
    books = [ROOT/CFG.readme_nb, *sorted(CFG.nbs_path.glob('[0-9]*.ipynb'))]
    pages = {b.stem: page_name(b) for b in books}
    readme(pages)
    site(books, pages)


if __name__ == '__main__': main()
