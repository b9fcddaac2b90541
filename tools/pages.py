"The site in _docs/: a page per chapter and module, their overview, a search index; every internal link is checked."
import html, json, re
from pathlib import Path
from urllib.parse import unquote

import api, render
from book import CFG, LIB, ROOT, read_book
from render import address

TOOLS = Path(__file__).parent
MOVED = {'<div class="simplex"': 'simplex.js'}  # what in a page draws a figure that the reader moves, and its script
ICON = ("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
        "%3Cpath d='M5 28 16 4l11 24' fill='none' stroke='%232b6cb0' stroke-width='5'/%3E%3C/svg%3E")
PAGE = '''<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="description" content="{description}">
<title>{title}</title><link rel="icon" href="{icon}">
<link rel="stylesheet" href="style.css"><script src="search.js" defer></script>{scripts}</head>
<body><a class="skip" href="#main">Skip to the text</a>
<input type="checkbox" id="menu" aria-label="Show the contents">
<header><a class="home" href="index.html">Λ-DARTS</a><label for="menu">Contents</label></header>
<aside><div class="find">
<input type="search" id="find" placeholder="Search" aria-label="Search the book" autocomplete="off">
<ol id="found"></ol></div>
<nav aria-label="Contents">{nav}</nav></aside>
<main id="main"{kind}>{body}{footer}</main></body></html>
'''


def text(src): return html.escape(src, quote=False)


def inline(src, find):
    "One line of Markdown, as in a docstring or comment, without the paragraph around it"
    res = render.markdown(render.Renderer(find, {}, escape=True), src).strip()
    return res[3:-4] if res.startswith('<p>') and res.count('<p>') == 1 else res


class Site:
    "All pages in memory: `files` is name -> text or bytes"
    def __init__(self):
        self.book, self.files, self.index = read_book(), {}, []
        self.pages = {address(c.path): c.page for c in self.book}
        self.api = api.read_api(self.book)
        self.names = api.Names(self.api)
        self.toc = {}

    def build(self):
        "Every file of the site; ValueError that names the chapter or the page where something is wrong"
        bodies = {c: self.chapter(c) for c in self.book}
        for c, body in bodies.items(): self.add(c.page, render.words(c.title), body, self.turn(c), c.lead)
        for mod in self.api: self.add(f'api_{mod}.html', f'{LIB}.{mod}', self.module(mod), kind='reference')
        self.add('api.html', 'Reference', self.overview(), kind='reference')
        for f in ('style.css', 'search.js', *MOVED.values()): self.files[f] = (TOOLS/f).read_text(encoding='utf-8')
        index = json.dumps(self.index, ensure_ascii=False, separators=(',', ':')).replace('</', '<\\/')
        self.files['search_index.js'] = f'window.INDEX = {index}\n'
        check(self.files)
        return self.files

    def add(self, page, title, body, footer='', lead='', kind='chapter'):
        scripts = ''.join(f'<script src="{f}" defer></script>' for place, f in MOVED.items() if place in body)
        full = f'{title} · Λ-DARTS' if page != 'index.html' else 'Λ-DARTS'
        self.files[page] = PAGE.format(title=text(full), description=html.escape(lead or CFG.description), icon=ICON,
                                       nav=self.nav(page), body=body, footer=footer, scripts=scripts,
                                       kind=f' class="{kind}"')

    def nav(self, page):
        "The parts of the book and the reference, that of `page` open, the sections of `page` below its title"
        parts = {}
        for c in self.book:
            if c.part: parts.setdefault(c.part, []).append((c.page, 'Overview' if c.opens else text(c.title)))
        parts['Reference'] = [('api.html', 'All names')] + [(f'api_{m}.html', m) for m in self.api]
        res = ''
        for title, links in parts.items():
            opened = ' open' if page in dict(links) or page == 'index.html' and title != 'Reference' else ''
            items = ''.join(self.nav_item(url, shown, page) for url, shown in links)
            res += f'<details{opened}><summary>{text(title)}</summary><ul>{items}</ul></details>\n'
        return res

    def nav_item(self, url, shown, page):
        if url != page: return f'<li><a href="{url}">{shown}</a></li>'
        inner = ''.join(f'<li><a href="#{i}">{t}</a></li>' for level, i, t in self.toc.get(page, []) if level == 2)
        if inner: inner = f'<ul>{inner}</ul>'
        return f'<li><a class="here" aria-current="page" href="{url}">{shown}</a>{inner}</li>'

    def turn(self, c):
        "Previous and next chapter"
        i = self.book.index(c)
        def to(j, rel, label):
            if not 0 <= j < len(self.book): return '<span></span>'
            return f'<a rel="{rel}" href="{self.book[j].page}"><small>{label}</small>{text(self.book[j].title)}</a>'
        return f'<footer>{to(i-1, "prev", "Previous")}{to(i+1, "next", "Next")}</footer>'

    def chapter(self, c):
        "The cells of a chapter; its headings and its prose go into the index"
        r = render.Renderer(lambda name: self.names.find(name, c), self.pages, c.path.parent)
        try: cells = [self.cell(c, i, cell, r) for i, cell in enumerate(c.nb.cells)]
        except ValueError as e: raise ValueError(f'{c.path.name}: {e}') from e
        self.toc[c.page] = r.headings
        body = ''.join(cells)
        self.enter(c.page, c.part, ''.join(x for x in cells if x.startswith('<section')))
        where = f'<p class="where">{text(c.part)}</p>' if c.part and not c.opens else ''
        return where + body.replace('</blockquote>', f'</blockquote>{self.about(c)}', 1)

    def about(self, c):
        "Where the chapter's module and its notebook are"
        if not c.part: return ''
        notebook = f'{CFG.git_url}/blob/{CFG.branch}/{c.path.relative_to(ROOT).as_posix()}'
        module = f'<a href="{c.api_page}"><code>{LIB}.{c.module}</code></a> · ' if c.module else ''
        if c.face: module = f'<code>{LIB}.{c.name}</code> · '
        return f'<p class="about">{module}<a href="{notebook}">notebook</a></p>'

    def cell(self, c, i, cell, renderer):
        if cell.cell_type == 'markdown': return f'<section>{render.markdown(renderer, cell.source)}</section>\n'
        if cell.cell_type != 'code': return ''
        if c.face and cell.source.startswith('face('): return self.face(c)
        here = [e for e in self.api.get(c.module, []) if e.cell == cell.source]
        def find(name): return self.names.find(name, c) if name in c.imports or name in c.public else None
        return render.code_cell(cell, f'{c.name}_{i}', here, c, find, self.files, renderer) + '\n'

    def face(self, c):
        "The public names of a package by module, each a link to its documentation"
        def to(module, name): return f'<a href="api_{module}.html#{name}"><code>{name}</code></a>'
        rows = ''
        for short, names in c.face.items():
            module = f'{c.name}.{short}'
            links = ', '.join(to(module, name) for name in names)
            rows += f'<tr><td><a href="api_{module}.html"><code>{short}</code></a></td><td>{links}</td></tr>'
        return f'<div class="scroll"><table class="names"><tbody>{rows}</tbody></table></div>\n'

    def enter(self, page, part, body):
        "Into the search index: per section its part, title, address and words"
        for piece in re.split(r'(?=<h[1-3] )', body):
            if not (m := re.match(r'<h(\d) id="([^"]*)">(.*?)(?: <a class="anchor".*?)?</h\1>', piece, re.S)): continue
            url = page if m[1] == '1' else f'{page}#{m[2]}'
            self.index.append([part, words_with_math(m[3]), url, render.words(piece[m.end():])])

    def overview(self):
        "Every public name with the first line of its documentation"
        res = f'<h1>Reference</h1><p>Every public name of <code>{LIB}</code>; a module imports only those above it.</p>'
        for mod, es in self.api.items():
            rows = ''.join(map(self.name_row, [e for e in es if not e.owner]))
            c = next(c for c in self.book if c.module == mod)
            res += f'<h2 id="{mod}"><a href="{c.api_page}">{mod}</a></h2><p>{self.line(c, c.lead)}</p>'
            res += f'<div class="scroll"><table class="names"><tbody>{rows}</tbody></table></div>' if rows else ''
        return res

    def name_row(self, e):
        name = f'<a href="{e.url}"><code>{e.name}</code></a>'
        return f'<tr><td>{name}</td><td>{self.inline(e, first(e.doc))}</td></tr>'

    def line(self, c, src):
        "A line of the chapter's prose"
        return inline(src, lambda name: self.names.find(name, c) if name not in ('', c.module) else None)

    def inline(self, e, src):
        "A line of an entry"
        return inline(src, lambda name: self.names.find(name, e.chapter) if name != e.name else None)

    def module(self, mod):
        "The reference of one module"
        c, es = next(c for c in self.book if c.module == mod), self.api[mod]
        self.toc[c.api_page] = [(2, e.name, text(e.name)) for e in es if not e.owner]
        self.index += [[mod, e.name, e.url, first(e.doc)] for e in es]
        head = (f'<p class="where">Reference</p><h1><code>{LIB}.{mod}</code></h1>'
                f'<blockquote>{self.line(c, c.lead)}</blockquote>'
                f'<p class="about">chapter <a href="{c.page}">{text(c.title)}</a></p>')
        return head + ''.join(map(self.entry, es)) + ('' if es else '<p>This chapter exports no public name.</p>')

    def entry(self, e):
        "One name: signature, documentation, parameters, result, where it is explained"
        level = 3 if e.owner else 2
        kind = f'<small>{e.kind}</small>' if e.kind != 'function' else ''
        res = (f'<section class="entry{" of" if e.owner else ""}" id="{e.name}"><h{level}><code>{e.name}</code> {kind}'
               f'<a class="source" href="{e.source}">in the chapter</a></h{level}>{render.code(e.signature)}')
        if e.doc: res += '<p>' + '</p><p>'.join(self.inline(e, p) for p in re.split(r'\n\s*\n', e.doc)) + '</p>'
        return res + self.table(e) + self.result(e) + self.methods(e) + '</section>'

    def result(self, e):
        if not e.returns or e.returns.type == 'None' and not e.returns.note: return ''
        note = f': {self.inline(e, e.returns.note)}' if e.returns.note else ''
        return f'<p class="returns"><b>Returns</b> {self.typed(e, e.returns.type)}{note}</p>'

    def methods(self, e):
        if not e.methods: return ''
        return '<p class="returns"><b>Methods</b> ' + ', '.join(
            f'<a href="{m.url}"><code>{m.name.rpartition(".")[2]}</code></a>' for m in e.methods) + '</p>'

    def typed(self, e, src):
        "A type, its own classes linked"
        def to(m):
            url = self.names.find(m[0], e.chapter)
            return f'<a class="name" href="{url}">{m[0]}</a>' if url else m[0]
        shown = re.sub(r'[A-Z]\w+', to, text(src))
        return f'<code>{shown}</code>' if src else ''

    def table(self, e):
        "Parameter, type, default, comment; columns that nothing fills are left out"
        cols = [('type', 'Type', lambda p: self.typed(e, p.type)),
                ('default', 'Default', lambda p: f'<code>{text(p.default)}</code>' if p.default else ''),
                ('note', 'Comment', lambda p: self.inline(e, p.note))]
        cols = [c for c in cols if any(getattr(p, c[0]) for p in e.params)]
        if not cols: return ''
        names = ['Field' if e.kind == 'value' else 'Parameter', *(name for _, name, _ in cols)]
        head = ''.join(f'<th>{name}</th>' for name in names)
        def row(p):
            cells = ''.join(f'<td class="{kind}">{shown(p)}</td>' for kind, _, shown in cols)
            return f'<tr><td><code>{p.name}</code></td>{cells}</tr>'
        body = ''.join(map(row, e.params))
        return (f'<div class="scroll"><table class="params"><thead><tr>{head}</tr></thead>'
                f'<tbody>{body}</tbody></table></div>')


def first(doc): return doc.split('\n')[0]


def words_with_math(src): return ' '.join(html.unescape(re.sub(r'<[^>]+>', '', src)).split())


def check(files):
    "ValueError where a page links to a page, place or file of the site that is not there"
    pages = {f: t for f, t in files.items() if f.endswith('.html')}
    places = {f: set(map(html.unescape, re.findall(r'\sid="([^"]*)"', t))) for f, t in pages.items()}
    for page in places:
        for url in map(html.unescape, re.findall(r'<[^>]*\s(?:href|src)="([^"]*)"', files[page])):
            if re.match(r'[a-z]+:|//', url): continue
            file, _, place = unquote(url).partition('#')
            if (file or page) not in files: raise ValueError(f'{page} links to {url}: there is no such page')
            if place and place not in places.get(file or page, ()):
                raise ValueError(f'{page} links to {url}: there is no such place')


def write(files, folder):
    "Write the site, without what an earlier one left"
    for old in [*folder.glob('*.html'), *folder.glob('figures/*')]: old.unlink()
    (folder/'figures').mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder/name).write_bytes(data if isinstance(data, bytes) else data.encode('utf-8'))


def site(): write(Site().build(), ROOT/CFG.doc_path.name)
