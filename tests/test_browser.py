"What a reader sees in a browser: the widgets under voila, and the report."
import json, os, socket, subprocess, sys, time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from chromium import NEEDED, started, until

ROOT = Path(__file__).resolve().parents[1]
pytestmark = NEEDED


BOOK = '''from lambda_darts.data import load_data
from lambda_darts.search import Search, search_config
from lambda_darts.widgets import Dashboard, softmax_explorer''', 'softmax_explorer()', '''digits = load_data()
few = load_data((digits.images[:400], digits.labels[:400]))
search = Search(search_config(channels=2, cells=1, epochs=1000), few, 'run', 'cpu')
Dashboard(search)'''


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    "Address of a notebook under voila, and its folder"
    home = tmp_path_factory.mktemp('voila')
    kernel = dict(name='python3', display_name='python3', language='python')
    book = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, BOOK)), metadata=dict(kernelspec=kernel))
    nbformat.write(book, home/'book.ipynb')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    own = {k: str(home/k.lower()) for k in ('JUPYTER_CONFIG_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR')}
    env = {**os.environ, **own, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    env.pop('IN_TEST', None)
    args = [sys.executable, '-m', 'voila', 'book.ipynb', '--no-browser', f'--port={port}', '--Voila.ip=127.0.0.1']
    def answers():
        try: return socket.create_connection(('127.0.0.1', port), 1).close() is None
        except OSError: return False
    with started(args, home/'log', cwd=home, env=env):
        until(answers, 30, 'voila')
        yield f'http://127.0.0.1:{port}', home


SLIDERS = '[...document.querySelectorAll(".widget-slider")]'
IMAGES = '[...document.querySelectorAll("img")].map(i => i.src)'

def button(name): return f'[...document.querySelectorAll("button")].find(b => b.textContent.trim() === "{name}")'


@pytest.fixture(scope='module')
def book(browser, served):
    "The notebook in the browser, its widgets drawn"
    page = browser()
    page.size(1280)
    page.goto(served[0])
    page.see(f'!!{button("start")} && {IMAGES}.length >= 1', 60)
    return page


def test_slider_changes_the_figure(book):
    before = book.js(f'{IMAGES}[0]')
    row = f'{SLIDERS}.find(s => s.textContent.includes("temperature"))'
    book.click(f'{row}.querySelector(".noUi-target")', .9)
    book.see(f'{IMAGES}[0] !== {json.dumps(before)}')
    assert float(book.js(f'{row}.querySelector(".widget-readout").textContent')) > 3
    assert not book.js('!!document.querySelector("[role=alert]")')


def test_dashboard_is_driven(book, served):
    def says(text): return book.see(f'document.body.innerText.includes({json.dumps(text)})')
    book.click(button('start'))
    book.see(f'{IMAGES}.length === 4')                     # that of the explorer, and three of the search
    first = book.js(f'{IMAGES}[1]')
    book.see(f'{IMAGES}[1] !== {json.dumps(first)}')       # it goes on by itself
    book.click(button('pause'))
    says('paused')
    def still():                                           # what was under way before is drawn once more
        seen = book.js(IMAGES)
        time.sleep(3)
        return book.js(IMAGES) == seen and seen
    held = until(still, 20, 'the figures to stand still')
    book.click(button('continue'))
    says('running')
    book.see(f'{IMAGES}[1] !== {json.dumps(held[1])}')
    book.click(f'{SLIDERS}.find(s => s.textContent.includes("λ")).querySelector(".noUi-target")', .6)
    says('λ ends at')
    until(lambda: (served[1]/'run'/'history.csv').is_file(), 20, 'an epoch')
    book.click(button('stop and save'))
    says('stopped')
    assert 1 <= len(pd.read_csv(served[1]/'run'/'history.csv')) < 1000
    assert not book.js('!!document.querySelector("[role=alert]")')


@pytest.mark.parametrize('width', [390, 1280])
def test_widgets_fit_the_window(book, width):
    book.size(width)
    assert book.fits() and not book.errors
    wide = ('[...document.querySelectorAll("img, button, .widget-slider")]'
            '.filter(e => e.getBoundingClientRect().right > innerWidth).length')
    until(lambda: book.js(wide) == 0, 5, f'{width} pixels are enough')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "The folder of a small search"
    from lambda_darts.search.config import search_config
    from lambda_darts.data.halves import load_data
    from lambda_darts.search.search import Search
    digits = load_data()
    few = load_data((digits.images[:400], digits.labels[:400]))
    out = tmp_path_factory.mktemp('run')
    return Search(search_config(channels=2, epochs=2), few, out, 'cpu', progress=False).run().out


@pytest.fixture(scope='module')
def page(browser): return browser()


@pytest.mark.parametrize('width', [390, 1280])
def test_report_asks_nobody(page, run, width):
    from lambda_darts.runs.report import write_report
    write_report(run)
    page.size(width)
    page.goto((run/'report.html').as_uri())
    assert page.requests == [(run/'report.html').as_uri()] and not page.errors
    assert page.fits() and 'undecided' in page.js('document.body.innerText').lower()


def test_processes_are_ended(tmp_path):
    code = ('import subprocess, time\np = subprocess.Popen(["sleep", "60"])\n'
            'print(p.pid, flush=True)\ntime.sleep(60)')
    with pytest.raises(ZeroDivisionError), started([sys.executable, '-c', code], tmp_path/'log') as process:
        child = int(until(lambda: (tmp_path/'log').read_text(), 10, 'the child'))
        1/0
    assert process.returncode is not None
    def gone(): return not Path(f'/proc/{child}').exists() or 'Z' in Path(f'/proc/{child}/stat').read_text().split()[2]
    until(gone, 5, 'the end of the child')
