"Headless Chromium, driven by its DevTools protocol."
import importlib.util, json, os, shutil, signal, subprocess, time
from base64 import b64decode
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
VOILA = all(importlib.util.find_spec(m) for m in ('voila', 'websocket'))
NEEDED = [pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium: apt-get install chromium'),
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
        self.socket = websocket.create_connection(address, timeout=30, suppress_origin=True)
        self.last, self.requests, self.errors = 0, [], []
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
        self.requests.clear()
        self.errors.clear()
        self('Page.navigate', url=url)
        until(lambda: self.js('document.readyState === "complete" && location.href !== "about:blank"'), seconds, url)

    def see(self, code, seconds=30): return until(lambda: self.js(code), seconds, code)

    def size(self, width, height=900):
        shape = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self('Emulation.setDeviceMetricsOverride', **shape)

    def colours(self, scheme):
        "Prefer `light` or `dark`"
        self('Emulation.setEmulatedMedia', features=[dict(name='prefers-color-scheme', value=scheme)])

    def click(self, element, x=.5):
        "Press the mouse on an element (JavaScript), at the share x of its width"
        self.see(f'!!({element})')
        box = self.js(f'''(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});
                          const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] }})()''')
        at = dict(x=box[0] + x*box[2], y=box[1] + box[3]/2, button='left', clickCount=1)
        for what in 'mousePressed', 'mouseReleased': self('Input.dispatchMouseEvent', type=what, **at)

    def shot(self, path):
        "The whole page as a PNG, up to 6,000 pixels of it"
        height = self.js('Math.max(...[...document.querySelectorAll("*")].map(e => e.scrollHeight))')
        self.size(self.js('innerWidth'), min(height, 6000))
        time.sleep(.5)
        Path(path).write_bytes(b64decode(self('Page.captureScreenshot')['data']))

    def fits(self):
        "Is the page no wider than the window?"
        return self.js('document.scrollingElement.scrollWidth <= innerWidth')


@contextmanager
def tabs(home):
    "A function that opens a tab of a Chromium, whose files are in `home` and which finds no host but this one"
    args = [CHROMIUM, '--headless=new', '--remote-debugging-port=0', f'--user-data-dir={home}', '--disable-gpu',
            '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync', '--hide-scrollbars', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
            'about:blank']
    if os.geteuid() == 0: args.insert(1, '--no-sandbox')  # as in a container
    def port(): return (home/'DevToolsActivePort').is_file() and (home/'DevToolsActivePort').read_text().split()
    with started(args, home/'log', env={**os.environ, 'HOME': str(home)}):
        address = f'http://127.0.0.1:{until(port, 60, "Chromium")[0]}/json/new'
        def tab():
            with urlopen(Request(address, method='PUT'), timeout=30) as r: opened = json.load(r)
            return Page(opened['webSocketDebuggerUrl'])
        yield tab
