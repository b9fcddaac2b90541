"The arms of the experiment of figure 1: settings over one scale, and the variants that are no part of the library."
import os, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lambda_darts.search.config import search_config
from lambda_darts.core.files import atomic_path
from lambda_darts.core.state import frozen_statistics
from lambda_darts.data.halves import load_data
from lambda_darts.cells.genotype import NB201_OPS
from lambda_darts.theory.regularizer import AlignmentRegularizer
from lambda_darts.search.search import Search

SCALE = dict(preset='paper', epochs=20, channels=8, cells=2, batch_size=64, alpha_lr=5e-4)  # for all arms alike
SIZE = 16                                                                                   # pixels a side
ARMS = {  # arm -> what differs from Λ as published: settings of `search_config`, and those of VARIED
    'darts': dict(regularizer='none'),
    'lambda': dict(),
    'lambda-e2': dict(epsilon=1e-2),
    'felt': dict(regularizer='felt'),
    'permuted': dict(aim='permuted'),
    'permuted-e2': dict(aim='permuted', epsilon=1e-2),
    # why it works, or does not
    'minus': dict(aim='minus'),
    'random': dict(aim='random'),
    'exact': dict(gradient='exact', strength=.25),
    'exact-l1': dict(gradient='exact', strength=1.),
    'smooth-darts': dict(regularizer='none', smooth=True),
    'smooth-lambda': dict(smooth=True),
    'smooth-exact': dict(gradient='exact', strength=.25, smooth=True),
    'darts-no-none': dict(regularizer='none', without_none=True),
    'lambda-no-none': dict(without_none=True),
    'darts-slow': dict(regularizer='none', lr=1e-3),
    'darts-same-half': dict(regularizer='none', same_half=True),
}
VARIED = ('aim', 'smooth', 'without_none', 'same_half')  # settings that the library does not have


def settings(arm):
    "Two dicts: what goes to `search_config`, and what this module does; ValueError for an unknown arm"
    if arm not in ARMS: raise ValueError(f'unknown arm {arm!r}: use {", ".join(ARMS)}')
    given = {**SCALE, **ARMS[arm]}
    return ({k: v for k, v in given.items() if k not in VARIED}, {k: v for k, v in given.items() if k in VARIED})


def halved(images):
    "Images (n, height, width, channels) at half the size: rounded means of 2×2 pixels"
    n, h, w, c = images.shape
    parts = images.reshape(n, h//2, 2, w//2, 2, c).astype(np.uint16)
    return ((parts.sum((2, 4)) + 2)//4).astype(np.uint8)


def cifar(folder, size=SIZE):
    "CIFAR-10 at `size` pixels in the benchmark's own halves; `folder` holds cifar10.npz (32×32) or cifar10_16.npz"
    files = [Path(folder).expanduser()/name for name in ('cifar10_16.npz', 'cifar10.npz')]
    known = [f for f in files if f.is_file()]
    if not known:
        raise FileNotFoundError(f'{folder} holds neither cifar10_16.npz nor cifar10.npz: name the folder that does')
    with np.load(known[0], allow_pickle=False) as z: images, labels = z['train_images'], z['train_labels']
    if images.shape[1] < size:
        raise ValueError(f'{known[0]} holds images of {images.shape[1]} pixels, {size} are asked for')
    while images.shape[1] > size: images = halved(images)
    split = shared('nasbench201_splits.npz', folder)
    data = load_data((images, labels.astype(np.int64)), split=split)
    return replace(data, name=f'cifar10-{size}')


def shared(name, *folders):
    "The file `name` in the first of `folders` that has it, else in the folder that LAMBDA_DARTS_DATA names"
    places = [Path(f).expanduser()/name for f in (*folders, os.environ.get('LAMBDA_DARTS_DATA')) if f]
    for place in places:
        if place.is_file(): return place
    searched = ', '.join(str(p.parent) for p in places)
    raise FileNotFoundError(f'{name} is not in {searched}: name its folder in LAMBDA_DARTS_DATA')


class Variant(AlignmentRegularizer):
    "A regulariser with the settings of another, and random numbers of its own"
    def __init__(self, plain, seed):
        self.__dict__.update(vars(plain))
        self.generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 201]).generate_state(1)[0]))


class Minus(Variant):
    "Anti-alignment: the strength is taken with the other sign"
    def aim(self, layer_grads, probs=None): return [-u for u in super().aim(layer_grads, probs)]


class Permuted(Variant):
    "Alignment of layer gradients whose entries are permuted, `none` left in place, in a fixed order for each layer"
    orders = None  # per layer the indices of its flattened gradient

    def order(self, grad):
        "A random order of the entries of a layer gradient (edges, operations)"
        order, free = torch.arange(grad.numel()).view(grad.shape), [o != 'none' for o in NB201_OPS]
        moved = order[:, free].flatten()
        order[:, free] = moved[torch.randperm(len(moved), generator=self.generator)].view(len(grad), -1)
        return order.flatten()

    def aim(self, layer_grads, probs=None):
        if self.orders is None: self.orders = [self.order(g) for g in layer_grads]
        permuted = super().aim([g.flatten()[order].view_as(g) for g, order in zip(layer_grads, self.orders)])
        return [u.flatten()[order.argsort()].view_as(u) for u, order in zip(permuted, self.orders)]


class Random(Variant):
    "In place of the term of the alignment a direction of its length, random in every step"
    def __call__(self, loss_fn, weights, probs, strength):
        weights = list(weights)
        loss, plain, layer_grads, value = super().__call__(loss_fn, weights, probs, 0.)
        if not strength: return loss, plain, layer_grads, value
        with frozen_statistics(self.model): grads = super().__call__(loss_fn, weights, probs, strength)[1]
        return loss, self.replaced(grads, plain), layer_grads, value

    def replaced(self, grads, plain):
        "`plain`, and noise as long as the difference of the two"
        length = torch.cat([(g - p).flatten() for g, p in zip(grads, plain)]).norm()
        noise = [torch.randn(p.shape, generator=self.generator, dtype=p.dtype) for p in plain]
        unit = torch.cat([n.flatten() for n in noise]).norm()
        return [p + n*(length/unit) for p, n in zip(plain, noise)]


AIMS = dict(minus=Minus, permuted=Permuted, random=Random)


class Smoothed(nn.Module):
    "A fan that expects rectified maps, fed with SiLU in place of ReLU"
    rectified = False

    def __init__(self, fan):
        super().__init__()
        self.fan = fan

    def forward(self, x, w): return self.fan(F.silu(x), w)


def smooth(net):
    "SiLU in place of every ReLU of a supernet"
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU): setattr(module, name, nn.SiLU())
            elif getattr(child, 'rectified', False): setattr(module, name, Smoothed(child))


class ArmSearch(Search):
    "A search of one arm: its variants, the mean mixing weights of every epoch, and the network at five moments"
    def __init__(self, arm, seed, data, out, table=None, compile=False, **given):
        plain, self.varied = settings(arm)
        if self.varied.get('same_half'): data = replace(data, valid=data.train)
        config, progress = search_config(**{**plain, **given}, seed=seed), sys.stderr.isatty()
        super().__init__(config, data, out, 'cpu', table, progress, compile=compile)
        if compile: self.identity['compile'] = True  # rounds otherwise: a run is compiled from beginning to end, or not
        self.arm, self.identity['arm'], self.seen, self.on_step = arm, arm, [], ArmSearch.look
        self.after = None  # called with the search after each epoch, and where it goes on

    def build(self):
        super().build()
        if self.varied.get('smooth'): smooth(self.net)
        if self.varied.get('without_none'): self.net.normal_mask[:, NB201_OPS.index('none')] = False
        if 'aim' in self.varied: self.regularizer = AIMS[self.varied['aim']](self.regularizer, self.config.seed)

    def look(self): self.seen.append(self.net.choice()['normal'].detach())

    def state(self):
        if self.varied.get('aim') != 'random': return super().state()
        return dict(super().state(), noise=self.regularizer.generator.get_state())

    def resume(self, state):
        super().resume(state)
        if 'noise' in state: self.regularizer.generator.set_state(state['noise'])
        if self.after: self.after(self)

    def save(self):
        if self.seen: self.rows[-1]['probs'] = probs_line(torch.stack(self.seen).mean(0))
        self.seen = []
        super().save()
        if len(self.rows) in moments(self.config.epochs):
            with atomic_path(network_file(self.out, len(self.rows))) as p: torch.save(self.net.state_dict(), p)
        if self.after: self.after(self)


def probs_line(p):
    "A number for each edge and operation as a line: operations between blanks, edges between '|'"
    return '|'.join(' '.join(f'{v:.7f}' for v in edge) for edge in p.tolist())


def moments(epochs):
    "The five epochs after which the network is kept; fewer in a run of fewer"
    return sorted({max(1, round(epochs*k/5)) for k in range(1, 6)})


def network_file(folder, epoch): return Path(folder)/f'network-{epoch:02}.pt'
