"The experiment of figure 1 on tiny data: what its arms do, and that a run goes on where it was broken off."
import itertools, sys
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tools'))
import arms, experiment, gate, hears, outcomes
from lambda_darts.data.halves import load_data
from lambda_darts.theory.regularizer import AlignmentRegularizer

TINY = dict(epochs=2, channels=2, cells=1, batch_size=8)


@pytest.fixture(scope='module')
def data():
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=g)
    return load_data((images, torch.arange(64) % 2), seed=0)


def tiny(arm, data, out, seed=3, **given): return arms.ArmSearch(arm, seed, data, out, **{**TINY, **given})


def columns(search): return search.history.drop(columns='seconds')


def ends(search):
    "All that a run leaves: history without its times, ω and α"
    return columns(search).to_csv(), {k: v.clone() for k, v in search.net.state_dict().items()}


def same(a, b):
    assert a[0] == b[0]
    torch.testing.assert_close(a[1], b[1], rtol=0, atol=0)


@pytest.fixture
def problem():
    "A loss of two weights and four layers with six edges, of float64; and a regulariser call on it"
    torch.manual_seed(0)
    W, V = (torch.randn(s, dtype=torch.double, requires_grad=True) for s in ((30, 8), (8, 4)))
    probs = [torch.rand(6, 5, dtype=torch.double) for _ in range(4)]

    def loss(copies):
        h = [(p.flatten() @ W).tanh() for p in copies]
        return sum(((a*b) @ V).tanh().sum() for a, b in zip(h, h[1:])) + (h[0] @ V).square().sum()
    return lambda regularizer, strength: regularizer(loss, [W, V], probs, strength)


def term(problem, regularizer, strength=.5):
    "What the regulariser adds to the plain gradient, as one vector"
    with_it, plain = (problem(regularizer, s)[1] for s in (strength, 0))
    return torch.cat([(a - b).flatten() for a, b in zip(with_it, plain)])


@pytest.mark.parametrize('gradient', ['central', 'exact'])
def test_minus_is_the_other_sign(problem, gradient):
    plain = AlignmentRegularizer(gradient=gradient)
    there, back = term(problem, plain), term(problem, arms.Minus(plain, 0))
    assert there.norm() > 0
    torch.testing.assert_close(back, -there, rtol=1e-9, atol=0)


@pytest.mark.parametrize('gradient', ['central', 'exact'])
def test_random_has_the_length_of_the_term(problem, gradient):
    plain = AlignmentRegularizer(gradient=gradient)
    random, there = arms.Random(plain, 0), term(problem, plain)
    first, second = term(problem, random), term(problem, random)
    for r in (first, second): torch.testing.assert_close(r.norm(), there.norm(), rtol=1e-9, atol=0)
    cosines = [torch.cosine_similarity(a, b, 0).abs() for a, b in ((first, second), (first, there), (second, there))]
    assert max(cosines) < .3  # 272 numbers: chance gives .06
    assert term(problem, random, strength=0).norm() == 0


def test_permuted(problem):
    plain = AlignmentRegularizer(gradient='exact')
    permuted, grads = arms.Permuted(plain, 0), problem(plain, 0)[2]
    aim = permuted.aim(grads)
    for order in permuted.orders:
        where = order.view(6, 5)
        assert (where[:, 0] == torch.arange(0, 30, 5)).all() and order.sort().values.equal(torch.arange(30))
        assert (order == torch.arange(30)).sum() < 15
    assert len({tuple(o.tolist()) for o in permuted.orders}) == 4
    swapped = [g.flatten()[o].view_as(g).requires_grad_() for g, o in zip(grads, permuted.orders)]
    slopes = torch.autograd.grad(plain.measure(swapped), swapped)  # by autograd, and put back one by one
    for u, slope, order in zip(aim, slopes, permuted.orders):
        back = torch.empty(30, dtype=torch.double)
        for i, j in enumerate(order.tolist()): back[j] = slope.flatten()[i]
        torch.testing.assert_close(u.flatten(), back, rtol=1e-9, atol=1e-15)
    again = arms.Permuted(plain, 0)
    again.aim(grads)
    assert all(map(torch.equal, again.orders, permuted.orders))


def test_felt_is_the_alignment_of_what_alpha_feels(data, tmp_path):
    "By autograd of Λ through the Jacobian, in a search of the arm; the histories tell raw and felt apart"
    search = tiny('felt', data, tmp_path).run()
    net, regularizer, layers = search.net.double(), search.regularizer, search.regularizer.groups[0]
    assert regularizer.kind == 'felt' and search.config.strength == .25
    x, y = next(data.batches('train', 8, 0, 0, dtype=torch.double))
    copies = [p.detach().requires_grad_() for p in net.mixing()]
    grads = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x, copies), y), copies, create_graph=True)
    felt = [(torch.func.vmap(torch.diag)(p) - p[:, :, None]*p[:, None]).detach() @ g[..., None] for p, g in zip(copies, grads)]
    unit = torch.stack([felt[i].flatten()/felt[i].norm() for i in layers])
    value = (unit.sum(0).square().sum() - len(layers))/(len(layers)*(len(layers) - 1))
    by_autograd = torch.autograd.grad(value, net.weights(), materialize_grads=True)
    exact = AlignmentRegularizer('felt', 'exact', groups=regularizer.groups)
    loss = lambda probs: torch.nn.functional.cross_entropy(net(x, probs), y)
    torch.testing.assert_close(exact(loss, net.weights(), copies, 0.)[3], value.detach(), rtol=1e-9, atol=1e-12)
    got = term(lambda r, s: r(loss, net.weights(), copies, s), exact, strength=1.)
    wanted = -torch.cat([g.flatten() for g in by_autograd])
    torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-9*wanted.abs().max().item())
    h = search.history
    torch.testing.assert_close(torch.tensor(h.alignment_train.values), torch.tensor(h.felt_train.values), rtol=1e-5, atol=1e-7)


def test_permuted_by_the_identity_is_lambda(data, tmp_path):
    left = tiny('lambda', data, tmp_path/'lambda').run()

    class Plain(arms.Permuted):
        def order(self, grad): return torch.arange(grad.numel())
    right = tiny('permuted', data, tmp_path/'permuted')
    before, arms.AIMS['permuted'] = arms.AIMS['permuted'], Plain
    try: right = tiny('permuted', data, tmp_path/'permuted').run()
    finally: arms.AIMS['permuted'] = before
    assert isinstance(right.regularizer, Plain)
    same(ends(left), ends(right))
    other = tiny('permuted', data, tmp_path/'other').run()
    assert columns(other).train_loss[1] != columns(left).train_loss[1]


@pytest.mark.parametrize('arm', arms.ARMS)
def test_every_arm_runs_as_what_it_says(arm, data, tmp_path):
    search = tiny(arm, data, tmp_path).run()
    varied = search.varied
    assert search.finished and type(search.regularizer) is arms.AIMS.get(varied.get('aim'), AlignmentRegularizer)
    relu = [m for m in search.net.modules() if isinstance(m, torch.nn.ReLU) or getattr(m, 'rectified', False)]
    assert len([m for m in search.net.modules() if isinstance(m, arms.Smoothed)]) == (18 if varied.get('smooth') else 0)
    assert bool([m for m in relu if not smoothed(search.net, m)]) != bool(varied.get('smooth'))
    p = torch.tensor([[float(v) for v in e.split()] for e in search.rows[-1]['probs'].split('|')])
    torch.testing.assert_close(p.sum(1), torch.ones(6), rtol=0, atol=1e-5)
    assert bool((p[:, 0] == 0).all()) == bool(varied.get('without_none'))
    if varied.get('without_none'): assert 'none' not in search.rows[-1]['genotype']
    assert torch.equal(search.data.valid, data.train if varied.get('same_half') else data.valid)


def smoothed(net, module): return any(isinstance(m, arms.Smoothed) and m.fan is module for m in net.modules())


def test_smooth_twin_is_smooth(data, tmp_path):
    net = tiny('smooth-exact', data, tmp_path).net.double()
    x, y = next(data.batches('train', 8, 0, 0, dtype=torch.double))
    probs, weights = [p.detach() for p in net.mixing()], net.weights()
    def loss(copies): return torch.nn.functional.cross_entropy(net(x, copies), y)
    exact, central = (AlignmentRegularizer(gradient=g, epsilon=1e-4, model=net) for g in ('exact', 'central'))
    a, b = (term(lambda r, s: r(loss, weights, probs, s), r) for r in (exact, central))
    assert (a - b).norm() < 1e-4*a.norm()  # on ReLU the difference sees jumps, and the two are apart


@pytest.mark.parametrize('arm', ['lambda', 'permuted', 'random', 'smooth-exact'])
def test_a_killed_run_goes_on_as_if_it_had_not_been(arm, data, tmp_path):
    whole = tiny(arm, data, tmp_path/'whole', epochs=3).run()
    tiny(arm, data, tmp_path/'broken', epochs=3).run(until=2)  # λ is 0 in the first epoch

    def kill(search):
        arms.ArmSearch.look(search)
        if len(search.steps) == 2: raise KeyboardInterrupt
    again = tiny(arm, data, tmp_path/'broken', epochs=3)
    again.on_step = kill
    with pytest.raises(KeyboardInterrupt): again.run()
    again = tiny(arm, data, tmp_path/'broken', epochs=3).run()
    same(ends(whole), ends(again))
    assert [f.name for f in sorted((tmp_path/'broken').glob('network-*'))] == [f'network-{e:02}.pt' for e in (1, 2, 3)]


def test_an_arm_does_not_go_on_with_another(data, tmp_path):
    tiny('lambda', data, tmp_path).run(until=1)
    with pytest.raises(ValueError, match="arm 'lambda' .now 'permuted'"): tiny('permuted', data, tmp_path).run()


def test_results_and_index(data, tmp_path):
    results, search = tmp_path/'results', tiny('lambda', data, tmp_path/'a')
    experiment.run(search, results, until=1)
    row = pd.read_csv(results/'index.csv').iloc[0]
    assert (row.arm, row.seed, row.state, row.epochs, row['of']) == ('lambda', 3, 'unfinished', 1, 2)
    assert row.threads == torch.get_num_threads()
    assert len(row.commit) == 40 and 'torch' in row.versions and not (results/'lambda-s3.csv').exists()
    experiment.run(tiny('darts', data, tmp_path/'b'), results)
    experiment.run(tiny('lambda', data, tmp_path/'a'), results)
    index = pd.read_csv(results/'index.csv')
    assert index.arm.tolist() == ['darts', 'lambda'] and set(index.state) == {'finished'}
    stored = pd.read_csv(results/'lambda-s3.csv')
    assert stored.epoch.tolist() == [1, 2] and len(stored.probs[1].split('|')) == 6
    assert not list(results.glob('.*'))


def test_what_alpha_hears(data, tmp_path):
    search = tiny('lambda', data, tmp_path).run()
    frame = hears.write_hears(search, tmp_path)
    assert frame[['epoch', 'half']].values.tolist() == [[e, h] for e in (1, 2) for h in ('train', 'valid')]
    assert len(pd.read_csv(tmp_path/'hears'/'lambda-s3.csv')) == 4
    g = torch.randn(64, 3, 6, 5, dtype=torch.double)
    p = torch.rand(6, 5, dtype=torch.double).softmax(-1)
    felt = hears.felt(g, p)
    J = torch.diag_embed(p) - p[:, :, None]*p[:, None]
    torch.testing.assert_close(felt, torch.einsum('eij,blej->blei', J, g), rtol=1e-9, atol=1e-15)
    common = torch.randn(6, 5, dtype=torch.double)
    strong = hears.heard_at(g*.1 + 3*common, [p]*3, 64)  # one direction in all layers, and little noise
    assert strong['rho'] > .99 and strong['lambda_64'] > .9 and strong['pc_share'] > .9 and strong['pc_same'] == 1
    weak = hears.heard_at(g, [p]*3, 64)
    assert weak['rho'] < .9 and abs(weak['lambda_64']) < .2 and weak['lambda_4096'] < .5 and weak['pc_share'] < .3
    toward = hears.felt(3*common, p).mean(0)
    push = torch.tensor([strong[f'push_{o}'] for o in hears.NB201_OPS]).double()
    assert (push*toward).sum() < 0  # descent goes against it


def test_halving_and_the_gate():
    image = torch.arange(2*4*4*1, dtype=torch.uint8).view(2, 4, 4, 1).numpy()
    assert arms.halved(image)[0, :, :, 0].tolist() == [[3, 5], [11, 13]]  # 2.5, 4.5, 10.5, 12.5, halves rounded up
    frame = pd.DataFrame(dict(arch=[gate.ALL_SKIP], c10_test_200=[54.3]))
    assert gate.choose(frame, 1).arch.tolist() == [gate.ALL_SKIP]


def test_outcomes():
    cells = list(itertools.product(range(5), repeat=6))
    acc = torch.rand(len(cells), generator=torch.Generator().manual_seed(0), dtype=torch.double)
    frame = pd.DataFrame(cells, columns=[f'op{e}' for e in range(6)]).assign(c10_test_200=acc.numpy())
    frame = frame.sample(frac=1, random_state=0)
    p = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.double).softmax(-1)
    h = outcomes.with_outcomes(pd.DataFrame(dict(probs=[arms.probs_line(v) for v in p])), frame)

    def drawn(p, tau):  # the second route: the sum over all cells
        w = (p.log()/tau).softmax(-1)
        return sum(float(a)*float(torch.stack([w[e, o] for e, o in enumerate(c)]).prod()) for c, a in zip(cells, acc))
    assert h.expected_acc[1] == pytest.approx(drawn(p[1], 1), rel=1e-5)
    assert h.expected_acc_sharp[1] == pytest.approx(drawn(p[1], .1), rel=1e-4)
    assert h.mean_acc[1] == pytest.approx(float(acc[cells.index(tuple(p[1].argmax(-1).tolist()))]), rel=1e-12)
    lines = [arms.probs_line(v) for v in p]*10
    long = outcomes.with_outcomes(pd.DataFrame(dict(probs=lines)), frame)  # a tenth: two epochs
    assert long.mean_acc[19] == pytest.approx(float(acc[cells.index(tuple(p.mean(0).argmax(-1).tolist()))]), rel=1e-12)
    with pytest.raises(ValueError, match='15624 cells: all 15625'): outcomes.accuracies(frame[1:])
