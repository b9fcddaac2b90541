"The figure of three layers that the reader moves: its numbers are the library's, and every hand can move it."
import json
from pathlib import Path

import pytest
import torch

from chromium import NEEDED
from lambda_darts.theory.alignment import alignment, alignment_bound, feel, survival
from lambda_darts.theory.relaxation import jacobian

TOOLS = Path(__file__).resolve().parents[1]/'tools'
STEPS = 1, 50, 700  # at which a way is compared
HTML = '''<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Simplex</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="style.css"></head>
<body style="display: block"><div class="simplex"><p>A caption.</p></div>
<script src="simplex.js"></script></body></html>
'''
pytestmark = NEEDED


@pytest.fixture(scope='module')
def page(browser): return browser()


def opened(page, folder, change=('', '')):
    "The page of the figure alone, with a script in which one thing is changed"
    script = (TOOLS/'simplex.js').read_text(encoding='utf-8')
    assert change[0] in script
    (folder/'simplex.js').write_text(script.replace(*change, 1), encoding='utf-8')
    (folder/'style.css').write_bytes((TOOLS/'style.css').read_bytes())
    (folder/'index.html').write_text(HTML, encoding='utf-8')
    page.goto((folder/'index.html').as_uri())
    assert not page.errors
    return page


def states(n=100):
    "Wishes (n, 3, 2) of all strengths up to 1, and starts (n, 3)"
    draw = torch.Generator().manual_seed(0)
    arrows, strengths, alpha = (torch.randn(*shape, dtype=torch.float64, generator=draw)
                                for shape in ((n, 3, 2), (n, 3, 1), (n, 3)))
    return arrows/arrows.norm(dim=-1, keepdim=True)*strengths.sigmoid(), (1.5*alpha).softmax(-1)


def gradients(wishes):
    "The layer gradients whose opposites are these arrows in the plane of the triangle, as long, entries summing to 0"
    right, up = torch.tensor([[-1, 1, 0], [-1, -1, 2]], dtype=torch.float64)
    plane = torch.stack([right/right.norm(), up/up.norm()])
    return -wishes @ plane


def flow(name, start, G):
    "The mixing weights after each step; Adam is torch's"
    alpha = start.log() - start.log().mean(-1, keepdim=True)
    alpha.requires_grad_()
    rate = 1e-2 if name == 'adam' else .05
    if name == 'adam': moves = torch.optim.Adam([alpha], rate, betas=(.5, .999), weight_decay=1e-3)
    else: moves = torch.optim.SGD([alpha], rate)
    res = [start]
    for _ in range(max(STEPS)):
        p = alpha.detach().softmax(-1)
        alpha.grad = G.clone() if name == 'mirror' else (jacobian(p) @ G[..., None])[..., 0]
        moves.step()
        res.append(alpha.detach().softmax(-1))
    return torch.stack(res)[list(STEPS)]


def compare(page):
    "AssertionError where a number of the script is not the library's, at a hundred states"
    wishes, starts = states()
    grads = gradients(wishes)
    both = json.dumps(list(zip(wishes.tolist(), starts.tolist())))
    shown = page.js(f'''{both}.map(([wishes, start]) => {{
        const grads = wishes.map(Simplex.gradient), G = Simplex.add(grads)
        const ways = ['gradient', 'mirror', 'adam'].map(f => Simplex.way(f, start, G))
        return {{grads, at: Simplex.measure(start, grads),
                 ways: ways.map(w => {list(STEPS)}.map(t => w[t]))}} }})''')
    near = dict(rtol=0, atol=1e-9)
    for s, g, p in zip(shown, grads, starts):
        felt = feel(p, g)
        rho = survival(felt)
        expected = dict(raw=alignment(g), felt=alignment(felt), rho=rho, bound=alignment_bound(rho, 3))
        torch.testing.assert_close(torch.tensor(s['grads'], dtype=torch.float64), g, **near)
        assert s['at'] == pytest.approx({k: v.item() for k, v in expected.items()}, rel=0, abs=1e-9)
    ways = torch.tensor([s['ways'] for s in shown], dtype=torch.float64)          # states, flows, steps, operations
    for i, name in enumerate(('gradient', 'mirror', 'adam')):
        ours = flow(name, starts, grads.sum(1)).transpose(0, 1)
        assert (ours[:, -1] - starts).norm(dim=-1).min() > 1e-3                   # there is a way
        torch.testing.assert_close(ways[:, i], ours, **near)


def test_numbers_are_those_of_the_library(page, tmp_path): compare(opened(page, tmp_path))


@pytest.mark.parametrize('change', [
    ('a - .05*n[o]', 'a + .05*n[o]'), ('a - .05*G[o]', 'a + .05*G[o]'), ('n[o] + 1e-3*a', 'n[o] - 1e-3*a'),
    ('q*(v - g[k])', 'q*(v + g[k])'), ('=> -ROOT2*((x', '=> ROOT2*((x'),
    ('layers - 2 + 2*rho', 'layers - 2 - 2*rho')])
def test_a_wrong_sign_is_seen(page, tmp_path, change):
    opened(page, tmp_path, change)
    with pytest.raises(AssertionError): compare(page)


def test_near_a_corner(page, tmp_path):
    "What is felt keeps its directions where it is too small for its squares"
    opened(page, tmp_path)
    wishes = json.dumps(states(1)[0][0].tolist())
    far, near = (page.js(f'Simplex.measure([1 - 3*{q}, {q}, 2*{q}], {wishes}.map(Simplex.gradient))')
                 for q in (1e-7, 1e-180))
    assert far == pytest.approx(near, rel=0, abs=1e-5) and 0 < near['rho'] < 1


FIGURE = 'document.querySelector(".simplex").figure'


def drag(page, what, to, touch=False):
    "Take a handle with the mouse or a finger to a place, in pixels from where it is"
    page.js(f'document.querySelector("{what}").scrollIntoView({{block: "center"}})')
    at = f'document.querySelector("{what} .knob").getBoundingClientRect()'
    x, y = page.js(f'(b => [b.x + b.width/2, b.y + b.height/2])({at})')
    way = [(x, y), (x + to[0]/2, y + to[1]/2), (x + to[0], y + to[1])]
    for kind, (a, b) in zip(('Start', 'Move', 'Move'), way):
        if touch: page('Input.dispatchTouchEvent', type=f'touch{kind}', touchPoints=[dict(x=a, y=b)])
        else:
            mouse = dict(Start='mousePressed', Move='mouseMoved')[kind]
            page('Input.dispatchMouseEvent', type=mouse, x=a, y=b, button='left', buttons=1, clickCount=1)
    if touch: page('Input.dispatchTouchEvent', type='touchEnd', touchPoints=[])
    else: page('Input.dispatchMouseEvent', type='mouseReleased', x=a, y=b, button='left', clickCount=1)
    x2, y2 = page.js(f'(b => [b.x + b.width/2, b.y + b.height/2])({at})')
    return x2 - x, y2 - y


def said(page):
    "The numbers that are written, with the minus sign of a program"
    return page.js('[...document.querySelectorAll(".simplex dd")].map(d => d.textContent.replaceAll("−", "-"))')


def agrees(page):
    "What is written is what the library says of the state"
    state, p = page.js(f'{FIGURE}.state'), torch.tensor(page.js(f'{FIGURE}.p'), dtype=torch.float64)
    g = gradients(torch.tensor(state['wishes'], dtype=torch.float64))
    felt = feel(p, g)
    rho = survival(felt)
    numbers = [alignment(g), alignment(felt), rho, alignment_bound(rho, 3)]
    words = said(page)
    assert [float(w) for w in words[:4]] == pytest.approx([v.item() for v in numbers], abs=.00501)
    assert [float(w) for w in words[4].split()] == pytest.approx(p.tolist(), abs=.00501)
    return words


@pytest.mark.parametrize('touch', [False, True])
@pytest.mark.parametrize('width', [390, 1280])
def test_hands_move_it(page, tmp_path, width, touch):
    page.size(width)
    opened(page, tmp_path)
    assert page.fits()
    before = agrees(page)
    for what, to in (('.handle.l1', (60, 30)), ('.handle.l2', (-20, 40)), ('.handle.start', (-50, -20))):
        assert drag(page, what, to, touch) == pytest.approx(to, abs=.2)
        after = agrees(page)
        assert after != before
        before = after
    drag(page, '.handle.l3', (300, 0), touch)                                     # not out of the disc
    assert torch.tensor(page.js(f'{FIGURE}.state.wishes[2]')).norm().item() == pytest.approx(1)
    drag(page, '.handle.start', (0, 500), touch)                                  # nor out of the triangle
    assert min(page.js(f'{FIGURE}.state.start')) > .009 and not page.errors
    agrees(page)


def press(page, key):
    for kind in 'keyDown', 'keyUp': page('Input.dispatchKeyEvent', type=kind, key=key, code=key,
                                         windowsVirtualKeyCode=dict(ArrowUp=38, ArrowRight=39, Tab=9)[key])


def test_keys_move_it(page, tmp_path):
    "By Tab from the flows to the step, and the arrow keys at each stop"
    page.size(1280)
    opened(page, tmp_path)
    stops = []
    for _ in range(10):
        press(page, 'Tab')
        stops.append(page.js('(e => e.getAttribute("aria-label") || e.value || e.textContent)(document.activeElement)'))
        before = page.js(f'JSON.stringify({FIGURE}.state)')
        press(page, 'ArrowRight')
        moved = before != page.js(f'JSON.stringify({FIGURE}.state)')
        assert moved == (page.js('document.activeElement.tagName') != 'BUTTON'), stops[-1]
        agrees(page)
    assert stops[0] == 'gradient' and page.js(f'{FIGURE}.state.flow') == 'mirror'
    assert stops[5:] == [*(f'wish of layer {l}' for l in (1, 2, 3)), 'start of the mixing weights', 'steps']


def test_examples_and_the_line(page, tmp_path):
    "The examples are what they are called; the line stands at 1 - 4/L of the scale from -1/2 to 1"
    opened(page, tmp_path)
    left = 'document.querySelector(".simplex .limit").style.left'
    assert float(page.js(left).rstrip('%')) == pytest.approx((1 - 4/3 + .5)/1.5*100, abs=1e-3)
    names = page.js('[...document.querySelectorAll(".examples button")].map(b => b.textContent)')
    found = {}
    for i, name in enumerate(names):
        page.click(f'document.querySelectorAll(".examples button")[{i}]')
        agrees(page)
        found[name] = page.js(f'{FIGURE}.numbers')
        assert ('hardly anything' in page.js('document.querySelector(".verdict").textContent')) == ('cancel' in name)
    assert found['united']['raw'] > .8 and found['at odds']['raw'] < 0
    assert found['cancel, equally strong']['raw'] == pytest.approx(-1/2, abs=1e-9)
    assert found['cancel, one loud']['felt'] == pytest.approx(1 - 4/3, abs=1e-9)


def test_it_asks_nobody_and_takes_the_colours_of_the_page(page, tmp_path):
    colours = set()
    for scheme in 'light', 'dark':
        page.colours(scheme)
        opened(page, tmp_path)
        assert {u.rpartition('/')[2] for u in page.requests} == {'index.html', 'style.css', 'simplex.js'}
        colours.add(page.js('getComputedStyle(document.querySelector(".simplex .handle.l1 .knob")).fill'))
    assert len(colours) == 2
    page.js(f'{FIGURE}.set({{wishes: [[0, 0], [0, 0], [0, 0]]}})')
    assert page.js('document.querySelector(".verdict").textContent') == 'No layer wishes anything.'
