"What a reader sees in a browser: the widgets under voila, the report and the site, in headless Chromium driven by its DevTools protocol."
import importlib.util, json, os, shutil, signal, socket, subprocess, sys, time
from base64 import b64decode
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import nbformat
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
VOILA = all(importlib.util.find_spec(m) for m in ('voila', 'websocket'))
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium: apt-get install chromium'),
              pytest.mark.skipif(not VOILA, reason='needs voila: pip install voila')]


def until(ready, seconds, what):
    "The first value of `ready()` that is true"
    end = time.monotonic() + seconds
    while not (value := ready()):
        assert time.monotonic() < end, f'{what}: not within {seconds} s'
        time.sleep(.03)
    return value


@contextmanager
def started(args, log, **kw):
    "A process in a group of its own, ended with all it has started"
    with open(log, 'wb') as out:
        process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **kw)
    try: yield process
    finally:
        for sig in signal.SIGTERM, signal.SIGKILL:
            try: os.killpg(process.pid, sig)
            except ProcessLookupError: break
            try: process.wait(5)
            except subprocess.TimeoutExpired: continue
            time.sleep(.2)  # its children
        process.wait(5)


class Page:
    "A tab of the browser"
    def __init__(self, address):
        import websocket
        self.socket, self.last, self.requests, self.errors = websocket.create_connection(address, timeout=30, suppress_origin=True), 0, [], []
        for domain in 'Page', 'Network', 'Runtime': self(f'{domain}.enable')

    def __call__(self, method, **params):
        "Ask for something; the events that come before the answer are looked at"
        self.last += 1
        self.socket.send(json.dumps(dict(id=self.last, method=method, params=params)))
        while (answer := json.loads(self.socket.recv())).get('id') != self.last: self.event(**answer)
        assert 'error' not in answer, f"{method}: {answer['error']}"
        return answer['result']

    def event(self, method, params, **_):
        if method == 'Network.requestWillBeSent': self.requests.append(params['request']['url'])
        if method == 'Runtime.exceptionThrown': self.errors.append(json.dumps(params['exceptionDetails'])[:500])

    def js(self, code):
        "The value of an expression in the page"
        result = self('Runtime.evaluate', expression=code, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in result, f'{code}: {result}'
        return result['result'].get('value')

    def goto(self, url, seconds=30):
        self.requests.clear(); self.errors.clear()
        self('Page.navigate', url=url)
        until(lambda: self.js('document.readyState === "complete" && location.href !== "about:blank"'), seconds, url)

    def see(self, code, seconds=30): return until(lambda: self.js(code), seconds, code)

    def size(self, width, height=900): self('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def click(self, element, x=.5):
        "Press the mouse on an element (JavaScript), at the share x of its width"
        self.see(f'!!({element})')
        box = self.js(f'''(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();
                          return [b.x, b.y, b.width, b.height] }})()''')
        at = dict(x=box[0] + x*box[2], y=box[1] + box[3]/2, button='left', clickCount=1)
        for what in 'mousePressed', 'mouseReleased': self('Input.dispatchMouseEvent', type=what, **at)

    def shot(self, path):
        "The whole page as a PNG"
        height = self.js('Math.max(...[...document.querySelectorAll("*")].map(e => e.scrollHeight))')
        self.size(self.js('innerWidth'), min(height, 6000)); time.sleep(.5)
        Path(path).write_bytes(b64decode(self('Page.captureScreenshot')['data']))

    def fits(self):
        "Is the page no wider than the window?"
        return self.js('document.scrollingElement.scrollWidth <= innerWidth')


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    "A new tab of a Chromium that finds no host but this one"
    home = tmp_path_factory.mktemp('chromium')
    args = [CHROMIUM, '--headless=new', '--remote-debugging-port=0', f'--user-data-dir={home}', '--disable-gpu', '--disable-dev-shm-usage',
            '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars',
            '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', 'about:blank']
    if os.geteuid() == 0: args.insert(1, '--no-sandbox')  # as in a container
    with started(args, home/'log', env={**os.environ, 'HOME': str(home)}):
        port = until(lambda: (home/'DevToolsActivePort').is_file() and (home/'DevToolsActivePort').read_text().split(), 30, 'Chromium')[0]
        def tab():
            with urlopen(Request(f'http://127.0.0.1:{port}/json/new', method='PUT'), timeout=10) as r: return Page(json.load(r)['webSocketDebuggerUrl'])
        yield tab


BOOK = '''from lambda_darts.search.config import search_config
from lambda_darts.widgets.dashboard import Dashboard, Replay
from lambda_darts.data.halves import load_data
from lambda_darts.widgets.explore import angles_explorer, flow_explorer, softmax_explorer
from lambda_darts.search.search import Search''', 'softmax_explorer()', '''few = load_data((load_data().images[:400], load_data().labels[:400]))
search = Search(search_config(channels=2, cells=1, epochs=1000), few, 'run', 'cpu')
Dashboard(search)'''


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    "Address of a notebook under voila, and its folder"
    home = tmp_path_factory.mktemp('voila')
    nbformat.write(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, BOOK)),
                                            metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python'))), home/'book.ipynb')
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
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
button = lambda name: f'[...document.querySelectorAll("button")].find(b => b.textContent.trim() === "{name}")'


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
    says = lambda text: book.see(f'document.body.innerText.includes({json.dumps(text)})')
    book.click(button('start'))
    book.see(f'{IMAGES}.length === 4')                     # that of the explorer, and three of the search
    first = book.js(f'{IMAGES}[1]')
    book.see(f'{IMAGES}[1] !== {json.dumps(first)}')       # it goes on by itself
    book.click(button('pause')); says('paused')
    def still():                                           # what was under way when it was told to pause is drawn once more
        seen = book.js(IMAGES)
        time.sleep(3)
        return book.js(IMAGES) == seen and seen
    held = until(still, 20, 'the figures to stand still')
    book.click(button('continue')); says('running')
    book.see(f'{IMAGES}[1] !== {json.dumps(held[1])}')
    book.click(f'{SLIDERS}.find(s => s.textContent.includes("λ")).querySelector(".noUi-target")', .6); says('λ ends at')
    until(lambda: (served[1]/'run'/'history.csv').is_file(), 20, 'an epoch')
    book.click(button('stop and save')); says('stopped')
    assert 1 <= len(pd.read_csv(served[1]/'run'/'history.csv')) < 1000 and not book.js('!!document.querySelector("[role=alert]")')


@pytest.mark.parametrize('width', [390, 1280])
def test_widgets_fit_the_window(book, width):
    book.size(width)
    assert book.fits() and not book.errors
    wide = '[...document.querySelectorAll("img, button, .widget-slider")].filter(e => e.getBoundingClientRect().right > innerWidth).length'
    until(lambda: book.js(wide) == 0, 5, f'{width} pixels are enough')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "The folder of a small search"
    from lambda_darts.search.config import search_config
    from lambda_darts.data.halves import load_data
    from lambda_darts.search.search import Search
    digits = load_data()
    few = load_data((digits.images[:400], digits.labels[:400]))
    return Search(search_config(channels=2, epochs=2), few, tmp_path_factory.mktemp('run'), 'cpu', progress=False).run().out


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


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The pages, rendered from a copy of the sources"
    root, skip = tmp_path_factory.mktemp('site'), shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', 'runs')
    for d in ('nbs', 'tools', 'lambda_darts'): shutil.copytree(ROOT/d, root/d, symlinks=True, ignore=skip)
    for f in ROOT.glob('*'):
        if f.is_file(): shutil.copy2(f, root)
    subprocess.run([sys.executable, 'tools/docs.py'], cwd=root, check=True, capture_output=True)
    return root/'_docs'


def test_site_asks_nobody(page, site):
    page.size(390)
    for f in sorted(site.glob('*.html')):
        page.goto(f.as_uri())
        assert not [u for u in page.requests if not u.startswith((site.as_uri(), 'data:'))], f.name
        assert not page.errors and page.fits(), f.name


def test_processes_are_ended(tmp_path):
    code = 'import subprocess, sys, time; p = subprocess.Popen(["sleep", "60"]); print(p.pid, flush=True); time.sleep(60)'
    with pytest.raises(ZeroDivisionError), started([sys.executable, '-c', code], tmp_path/'log') as process:
        child = int(until(lambda: (tmp_path/'log').read_text(), 10, 'the child'))
        1/0
    assert process.returncode is not None
    gone = lambda: not Path(f'/proc/{child}').exists() or 'Z' in Path(f'/proc/{child}/stat').read_text().split()[2]
    until(gone, 5, 'the end of the child')
