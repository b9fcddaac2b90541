"Cells as HTML: Markdown whose formulas are MathML, highlighted code, outputs with their figures as files."
import base64, html, os, re, struct, unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

from latex2mathml.converter import convert
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import BashLexer, PythonLexer

from book import CFG, LIB, ROOT, imported

FORMAT = HtmlFormatter(nowrap=True)
OPEN, CLOSE, RELATIONS = set('([{⟨⌊'), set(')]}⟩⌋'), set('=≈≠<>≤≥→←∼∝∈,:')
LEXERS = {'python': PythonLexer(), 'sh': BashLexer(), 'bash': BashLexer()}


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
    tex = re.sub(r'(\\[bB]igg?[lr]?)\s*\\(\||[lr]?Vert)', r'\1‖', tex)
    tex = re.sub(r'\\arg(?![a-z])', r'\\operatorname{arg}', tex)
    res = convert(tex, display=display).replace('&#x0003C;', '&amp;lt;').replace('&#x00026;', '&amp;amp;')
    res = html.unescape(res)
    if bad := re.findall(r'\\[A-Za-z]+', res):
        raise ValueError(f'the formula ${tex}$ has commands that cannot be rendered: {bad}')
    res = re.sub(r'<(mi|mn) mathvariant="(script|double-struck|bold|bold-italic|fraktur)">(.)</\1>', _letter, res)
    root = ET.fromstring(res.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ''))
    for node in root.iter(): _as_tex(node)
    return '<wbr>'.join(ET.tostring(m, encoding='unicode') for m in (_pieces(root) if display == 'inline' else [root]))


def _as_tex(node):
    "Spacing, upright capitals and limits as TeX has them"
    text = node.text or ''
    if node.tag == 'mo' and text == '/': node.attrib.update(lspace='0', rspace='0')
    elif node.tag == 'mo' and text in ('∂', '∇'): node.tag = 'mi'
    if node.tag == 'mi' and re.fullmatch('[Α-Ω∇]', text): node.set('mathvariant', 'normal')
    if node.tag == 'msub' and node[0].tag == 'mo' and node[0].text in ('max', 'min', 'sup', 'inf', 'lim'):
        node.tag = 'munder'
        node[0].set('movablelimits', 'true')


def _pieces(root):
    "A long formula in a line, broken behind its relations (outside brackets), where the line may be broken too"
    row = root[0] if len(root) == 1 and root[0].tag == 'mrow' else root
    if len(list(root.iter())) < 14: return [root]
    pieces, depth = [[]], 0
    for node in row:
        text = ''.join(node.itertext())
        depth += (text in OPEN) - (text in CLOSE)
        pieces[-1].append(node)
        if depth == 0 and node.tag == 'mo' and text in RELATIONS:
            node.set('form', 'infix')
            pieces.append([])
    return [_math(p) for p in pieces if p]


def _math(nodes):
    res = ET.Element('math', display='inline')
    ET.SubElement(res, 'mrow').extend(nodes)
    return res


def code(src, lang='python'):
    "Highlighted source"
    shown = highlight(src, LEXERS[lang], FORMAT) if lang in LEXERS else html.escape(src, quote=False)
    return f'<pre><code>{shown.rstrip()}</code></pre>'


def calls(shown, find):
    "Highlighted code whose calls of the library's names link to their documentation"
    def to(m): return f'<a href="{url}">{m[0]}</a>' if (url := find(m[1])) else m[0]
    return re.sub(r'<span class="n">(\w+)</span>(?=<span class="p">\()', to, shown)


def address(path): return Path(os.path.relpath(path, ROOT)).as_posix()  # below the project's folder


def relink(url, folder, pages):
    "Where `url` of a notebook in `folder` points: within the site by `pages` (address -> page), in README.md with None"
    if re.match(r'[a-z]+:|#', url): return url
    file, _, frag = url.partition('#')
    place = address(folder/file)
    tail = f'#{frag}' if frag else ''
    if not (ROOT/place).exists(): raise ValueError(f'link to {url}: there is no such file')
    if pages is None: return place + tail
    if not file.endswith('.ipynb'): return f'{CFG.git_url}/blob/{CFG.branch}/{place}{tail}'
    if place not in pages: raise ValueError(f'link to {url}: there is no such chapter')
    return pages[place] + tail


def unlinked(text): return re.sub(r'</?a\b[^>]*>', '', text)


def words(text):
    "The text of a piece of HTML without formulas and tags"
    return ' '.join(html.unescape(re.sub(r'<[^>]+>', ' ', re.sub(r'<math.*?</math>', ' ', text, flags=re.S))).split())


class Renderer(IPythonRenderer):
    "Markdown with MathML, links from names to their documentation and between chapters, tables in a box of their own"
    def __init__(self, find, pages, folder=ROOT, escape=False):
        super().__init__(escape=escape)
        self.find, self.pages, self.folder, self.ids, self.headings = find, pages, folder, set(), []

    def inline_math(self, body): return mathml(body)
    def block_math(self, body): return f'<span class="math">{mathml(body, "block")}</span>'
    def latex_environment(self, name, body): return self.block_math(f'\\begin{{{name}}}{body}\\end{{{name}}}')

    def block_code(self, src, info=None):
        known = imported(src)
        def find(name): return self.find(f'{LIB}.{known[name]}.{name}') if name in known else None
        return calls(code(src.rstrip(), (info or '').strip()), find)

    def table(self, text): return f'<div class="scroll"><table>{text}</table></div>'

    def codespan(self, text):
        url, shown = self.find(text), f'<code>{html.escape(text, quote=False)}</code>'
        return f'<a class="name" href="{url}">{shown}</a>' if url else shown

    def link(self, text, url, title=None):
        return f'<a href="{html.escape(relink(url, self.folder, self.pages))}">{unlinked(text)}</a>'

    def heading(self, text, level, **attrs):
        "With an address: the text with dashes, as Jupyter has it"
        text, slug = unlinked(text), re.sub(r'\s+', '-', html.unescape(re.sub(r'<[^>]+>', '', text)).strip())
        slug = next(s for s in (slug, *(f'{slug}-{i}' for i in range(1, 99))) if s not in self.ids)
        self.ids.add(slug)
        slug = html.escape(slug)
        self.headings.append((level, slug, text))
        anchor = f' <a class="anchor" href="#{slug}" aria-label="address of this section">#</a>' if level > 1 else ''
        return f'<h{level} id="{slug}">{text}{anchor}</h{level}>\n'


def definitions(shown, entries):
    "Each defined name in highlighted code as a link to its entry"
    for e in entries:
        name = e.name.rpartition('.')[2]
        shown = re.sub(rf'(<span class="(?:nf|nc|fm)">{name}</span>)', rf'<a href="{e.url}">\1</a>', shown, count=1)
    return shown


def size_of(out, mime):
    "Width and height at which the figure is to be shown; None where it does not say"
    if size := out.get('metadata', {}).get(mime, {}): return size['width'], size['height']
    if mime == 'image/png': return struct.unpack('>II', base64.b64decode(out.data[mime])[16:24])
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', out.data[mime])
    return box and tuple(round(float(v)) for v in box.groups())


def figure(out, mime, stem, alt, files):
    "A figure, whose file goes into `files`"
    name, size = f'figures/{stem}.{"png" if mime == "image/png" else "svg"}', size_of(out, mime)
    files[name] = base64.b64decode(out.data[mime]) if mime == 'image/png' else out.data[mime].encode()
    shape = ' width="{}" height="{}"'.format(*size) if size else ''
    if size and size[0] > 640: shape += ' class="wide"'
    return f'<figure><a href="{name}"><img src="{name}" alt="{html.escape(alt)}"{shape} loading="lazy"></a></figure>'


def output(out, stem, alt, files, renderer):
    "One output of a cell: the richest kind that it offers"
    data = out.get('data', {})
    for mime in ('image/svg+xml', 'image/png'):
        if mime in data: return figure(out, mime, stem, alt, files)
    if 'text/html' in data:
        style = r'<style.*?</style>\s*|\s(?:border="1"|style="text-align: right;")'
        return f'<div class="scroll">{re.sub(style, "", data["text/html"], flags=re.S)}</div>'
    if 'text/markdown' in data: return f'<div class="words">{markdown(renderer, data["text/markdown"])}</div>'
    text = out.text if out.output_type == 'stream' else data.get('text/plain') or '\n'.join(out.get('traceback', []))
    return f'<pre class="out">{html.escape(strip_ansi(text.rstrip()), quote=False)}</pre>' if text.strip() else ''


def code_cell(cell, stem, entries, chapter, find, files, renderer=None):
    "A code cell of `chapter` and its outputs, in Markdown by `renderer`; `entries` are the names it exports"
    tags, body = cell.metadata['tags'], ''
    if cell.source and 'hide_input' not in tags:
        ids = ''.join(f'<a id="def-{e.name}"></a>' for e in entries)
        mark = f' class="export" title="exported to {LIB}.{chapter.module}"' if 'export' in tags else ' class="try"'
        body = f'{ids}<div{mark}>{definitions(calls(code(cell.source), find), entries)}</div>'
        if fold := [t for t in ('imports', 'checks', 'code') if t in tags]:
            body = f'<details class="fold"><summary>{fold[0]}</summary>{body}</details>'
    outs = ''.join(output(o, f'{stem}_{j}', cell.metadata['alt'], files, renderer) for j, o in enumerate(cell.outputs))
    return body + (f'<div class="outputs">{outs}</div>' if outs else '')


def markdown(renderer, src):
    "Markdown as HTML; what touches a formula stays with it"
    res = MarkdownWithMath(renderer=renderer).render(src)
    inline = r'([(“]?<math display="inline">(?:(?!</math>).)*</math>[^\s<—]+)'
    return re.sub(inline, r'<span class="tied">\1</span>', res, flags=re.S)
