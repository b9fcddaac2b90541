"Render README.md from index.ipynb and the site in _docs/ from every chapter: nothing is run, no Quarto, no network."
import re, sys

from nbconvert import MarkdownExporter

import book, pages, render
from book import CFG, ROOT


def readme():
    "README.md and its figures"
    nb = book.load(ROOT/CFG.readme_nb)
    for c in nb.cells:
        if c.cell_type == 'markdown':
            c.source = re.sub(r'\]\(([^)\s]+)\)', lambda m: f']({render.relink(m[1], ROOT, None)})', c.source)
    body, res = MarkdownExporter().from_notebook_node(nb, {'output_files_dir': 'index_files', 'unique_key': 'index'})
    def alt(m): return f'![{nb.cells[int(m[1])].metadata["alt"]}]'
    body = re.sub(r'!\[\w+\](?=\(index_files/index_(\d+)_)', alt, body)
    body = re.sub(r'<style.*?</style>\n?', '', body, flags=re.S)  # GitHub shows it as text
    (ROOT/'README.md').write_text(re.sub(r'\n([ ]*\n)+\n*', '\n\n', body).strip() + '\n', encoding='utf-8')
    for old in (ROOT/'index_files').glob('index_*'): old.unlink()
    for name, data in res['outputs'].items():
        (ROOT/name).parent.mkdir(exist_ok=True)
        (ROOT/name).write_bytes(data)


def main():
    try:
        readme()
        pages.site()
    except ValueError as e: sys.exit(f'tools/docs.py: {e}')


if __name__ == '__main__': main()
