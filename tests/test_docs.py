"README.md and the site: rendered from what is here, the same each time, complete, and without a request to any host."
import os, re, shutil, subprocess, sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]


def render(root):
    "Run tools/docs.py in `root`; the bytes of everything it wrote"
    subprocess.run([sys.executable, 'tools/docs.py'], cwd=root, check=True, env={**os.environ, 'PYTHONHASHSEED': 'random'})
    files = [root/'README.md', *(root/'index_files').glob('*'), *(root/'_docs').glob('*')]
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    "A copy of the sources with its rendered pages"
    root = tmp_path_factory.mktemp('book')
    skip = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', 'runs')
    for d in ('nbs', 'tools'): shutil.copytree(ROOT/d, root/d, symlinks=True, ignore=skip)
    for f in ROOT.glob('*'):
        if f.is_file(): shutil.copy2(f, root)
    return root, render(root)


def test_readme_is_rendered(copy):
    here = {str(p.relative_to(ROOT)): p.read_bytes() for p in [ROOT/'README.md', *(ROOT/'index_files').glob('*')]}
    assert here == {k: v for k, v in copy[1].items() if not k.startswith('_docs')}, 'run tools/docs.py and commit'


def test_rendered_twice_is_the_same(copy): assert render(copy[0]) == copy[1]


def test_site_is_complete(copy):
    root, files = copy
    pages = {p.name: BeautifulSoup(p.read_text(encoding='utf-8'), 'html.parser') for p in (root/'_docs').glob('*.html')}
    assert len(pages) == 1 + len(list((root/'nbs').glob('[0-9]*.ipynb')))
    for page, soup in pages.items():
        loaded = [t.get('src') or t.get('href') for t in soup.select('script, link, img, iframe, image')]
        assert not [u for u in loaded if u and re.match('(https?:)?//', u)], page
        texts = [t.text.replace('http://www.w3.org/', '') for t in soup.select('script, style')]
        assert not [t for t in texts if re.search('https?://|@import', t)], page
        for a in soup.select('a[href]'):
            file, _, frag = a['href'].partition('#')
            if re.match('[a-z]+:', a['href']): continue
            assert (file or page) in pages, f'{page}: {a["href"]}'
            assert not frag or pages[file or page].find(id=frag), f'{page}: {a["href"]}'


def test_unknown_formula_and_dead_link_are_errors(copy, monkeypatch):
    root, _ = copy
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root/'tools')
    import docs
    with pytest.raises(ValueError, match='cannot be rendered'): docs.mathml(r'\nosuchcommand x')
    with pytest.raises(ValueError, match='no such chapter'): docs.relink('99_nothing.ipynb', None, {})
    with pytest.raises(ValueError, match='no such file'): docs.relink('NOTHING.md', None, {})
    assert '‖' in docs.mathml(r'\Big\|x\Big\|') and 'ℝ' in docs.mathml(r'\mathbb R') and '&lt;' in docs.mathml('a<b')
