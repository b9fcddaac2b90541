// A figure that the reader moves: what three layers wish, what α feels of it, and where three flows take the weights.
const Simplex = (() => {
const ROOT2 = Math.sqrt(2), HIGH = Math.sqrt(3)/2, STEPS = 2000
const SHOWN = Array.from({length: 301}, (_, i) => Math.round(STEPS*(i/300)**2))  // the steps a way is drawn through
const CORNERS = [[0, 0], [1, 0], [.5, HIGH]], MIDDLE = [.5, HIGH/3]
const FLOWS = {gradient: 'gradient flow', mirror: 'mirror flow', adam: 'Adam with decay'}
const EXAMPLES = {
  'at odds': [[-.75, -.2], [.55, .35], [.3, .75]],
  'united': [[.2, .75], [.35, .6], [.05, .9]],
  'cancel, equally strong': [[0, .8], [-.8*HIGH, -.4], [.8*HIGH, -.4]],
  'cancel, one loud': [[.3, 0], [.6, 0], [-.9, 0]],
}

// The formulas, as in the chapters
const dot = (a, b) => a.reduce((s, v, i) => s + v*b[i], 0)
const norm = a => Math.hypot(...a)
const add = vectors => vectors[0].map((_, i) => vectors.reduce((s, v) => s + v[i], 0))
const share = (a, b) => b > 0 ? a/b : 0
const unit = a => a.map(v => share(v, norm(a)))

function softmax(alpha) {
  const top = Math.max(...alpha), e = alpha.map(a => Math.exp(a - top)), sum = e[0] + e[1] + e[2]
  return e.map(v => v/sum)
}
function centred(alpha) {
  const mean = (alpha[0] + alpha[1] + alpha[2])/3
  return alpha.map(a => a - mean)
}
function feel(p, g) {  // in a form that is exact near a corner, too
  return g.map((v, o) => p[o]*p.reduce((s, q, k) => s + q*(v - g[k]), 0))
}

// A wish is an arrow in the plane of the triangle; the gradient is its opposite, as long, with entries that sum to 0
function gradient(wish) {
  return CORNERS.map(([x, y]) => -ROOT2*((x - MIDDLE[0])*wish[0] + (y - MIDDLE[1])*wish[1]))
}
function arrow(g) { return [0, 1].map(i => -ROOT2*g.reduce((s, v, o) => s + v*(CORNERS[o][i] - MIDDLE[i]), 0)) }

function alignment(grads) {
  const units = grads.map(unit)
  let sum = 0
  units.forEach((a, i) => units.slice(0, i).forEach(b => { sum += dot(a, b) }))
  return 2*sum/(grads.length*(grads.length - 1))
}
function survival(grads) { return share(norm(add(grads)), grads.reduce((s, g) => s + norm(g), 0)) }
function bound(rho, layers) { return ((layers - 2 + 2*rho)**2 - layers)/(layers*(layers - 1)) }

function measure(p, grads) {
  const felt = grads.map(g => feel(p, g)), rho = survival(felt)
  return {raw: alignment(grads), felt: alignment(felt), rho, bound: bound(rho, grads.length)}
}

// One step of α for the sum G of the gradients; `memory` is Adam's
const MOVES = {
  gradient: (alpha, p, G) => { const n = feel(p, G); return alpha.map((a, o) => a - .05*n[o]) },
  mirror: (alpha, p, G) => alpha.map((a, o) => a - .05*G[o]),
  adam(alpha, p, G, t, memory) {
    const n = feel(p, G), [b1, b2] = [.5, .999]
    return alpha.map((a, o) => {
      const slope = n[o] + 1e-3*a
      memory.m[o] = b1*memory.m[o] + (1 - b1)*slope
      memory.v[o] = b2*memory.v[o] + (1 - b2)*slope**2
      return a - 1e-2*memory.m[o]/(1 - b1**t)/(Math.sqrt(memory.v[o]/(1 - b2**t)) + 1e-8)
    })
  },
}
function way(flow, start, G, steps = STEPS) {
  const memory = {m: [0, 0, 0], v: [0, 0, 0]}, res = [start]
  let alpha = centred(start.map(Math.log))
  for (let t = 1; t <= steps; t++) {
    alpha = MOVES[flow](alpha, softmax(alpha), G, t, memory)
    res.push(softmax(alpha))
  }
  return res
}

// What is drawn: disc and triangle in one scale of pixels each, the triangle's place in weights
const DISC = {size: 320, mid: 160, scale: 112}, TRIANGLE = {left: 26, base: 284, side: 268}
const inDisc = ([x, y]) => [DISC.mid + DISC.scale*x, DISC.mid - DISC.scale*y]
const inTriangle = p => [0, 1].map(i => dot(p, CORNERS.map(c => c[i]))).map((v, i) =>
  i ? TRIANGLE.base - TRIANGLE.side*v : TRIANGLE.left + TRIANGLE.side*v)
const at = point => point.map(v => v.toFixed(1)).join(' ')
const number = v => (Math.abs(v) < .005 ? 0 : v).toFixed(2).replace('-', '−')
const signed = v => (v >= .005 ? '+' : '') + number(v)

function drawn(from, to, kind) {
  const dx = to[0] - from[0], dy = to[1] - from[1], length = Math.hypot(dx, dy)
  if (length < 1) return ''
  const head = Math.min(9, length), [ux, uy] = [dx/length, dy/length], neck = [to[0] - head*ux, to[1] - head*uy]
  const wings = [1, -1].map(s => at([neck[0] - s*.45*head*uy, neck[1] + s*.45*head*ux]))
  return `<g class="${kind}"><path d="M${at(from)}L${at(neck)}"/>
    <path class="head" d="M${at(to)}L${wings.join('L')}z"/></g>`
}
function handle(kind, label, text) {
  const role = `role="slider" aria-label="${label}" aria-valuemin="0" aria-valuemax="1"`
  return `<g class="handle ${kind}" tabindex="0" ${role}>
    <circle class="reach" r="24"/><circle class="knob" r="11"/><text dy="4.5">${text}</text></g>`
}
function word([x, y], text) { return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}">${text}</text>` }

const TIPS = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(inTriangle)
let figures = 0
function skeleton() {
  const group = `flow-${++figures}`
  const toCorner = CORNERS.map(c => [0, 1].map(i => (c[i] - MIDDLE[i])*Math.sqrt(3)))
  const radios = Object.entries(FLOWS).map(([key, name]) =>
    `<label><input type="radio" name="${group}" value="${key}"><span>${name}</span></label>`).join('')
  const buttons = Object.keys(EXAMPLES).map(name => `<button type="button">${name}</button>`).join('')
  const rays = toCorner.map(c => `<path class="frame" d="M${at(inDisc([0, 0]))}L${at(inDisc(c))}"/>`).join('')
  const around = toCorner.map((c, o) => word(inDisc(c.map((v, i) => v*1.22 - (i ? .04 : 0))), `op ${o + 1}`)).join('')
  const names = [[18, 22], [-18, 22], [0, -12]].map(([dx, dy], o) =>
    word([TIPS[o][0] + dx, TIPS[o][1] + dy], `op ${o + 1}`)).join('')
  const handles = [1, 2, 3].map(l => handle(`l${l}`, `wish of layer ${l}`, l)).join('')
  return `<div class="choices"><fieldset><legend>α moves by</legend>${radios}</fieldset>
    <div class="examples"><span>wishes</span>${buttons}</div></div>
    <div class="panels"><div><p>What the layers wish</p>
      <svg class="disc" viewBox="0 8 320 288" role="group" aria-label="Three wishes">
      <circle class="frame" cx="160" cy="160" r="112"/>${rays}${around}<g class="arrows"></g>${handles}</svg></div>
    <div><p>Where the mixing weights go</p>
      <svg class="triangle" viewBox="0 24 320 288" role="group" aria-label="Triangle of three operations">
      <path class="edge" d="M${TIPS.map(at).join('L')}z"/>${names}<g class="ways"></g>
      ${handle('start', 'start of the mixing weights', '')}</svg></div></div>
    <label class="step"><span>after <output></output> steps</span>
      <input type="range" min="0" max="100" aria-label="steps"></label>
    <div class="scale" aria-hidden="true"><i class="below"></i><i class="line"></i>
      <b class="limit"></b><b class="most"></b><b class="raw">Λ</b><b class="felt">Λ<sub>J</sub></b>
      <small style="left: 0">−.5</small>
      <small class="at-limit">1 − 4/L</small><small style="left: 33.33%">0</small>
      <small style="left: 100%">1</small></div>
    <dl></dl><p class="verdict" role="status"></p>`
}

class Figure {
  constructor(place) {
    const caption = [...place.childNodes]
    place.insertAdjacentHTML('afterbegin', skeleton())
    place.classList.add('drawn')
    caption.forEach(c => c.classList?.add('caption'))
    this.place = place
    this.state = {wishes: EXAMPLES['at odds'], start: [.08, .84, .08], flow: 'gradient', slid: 24}
    this.find('input[type=radio]').checked = true
    place.addEventListener('change', e => { if (e.target.type === 'radio') this.set({flow: e.target.value}) })
    this.find('input[type=range]').addEventListener('input', e => this.set({slid: +e.target.value}))
    place.querySelectorAll('.examples button').forEach(b =>
      b.addEventListener('click', () => this.set({wishes: EXAMPLES[b.textContent]})))
    for (const l of [0, 1, 2]) {
      this.grip(this.find(`.handle.l${l + 1}`), () => this.state.wishes[l], point => this.wish(l, point))
    }
    this.grip(this.find('.start'), () => this.spot(), point => this.begin(point))
    this.set({})
  }
  find(what) { return this.place.querySelector(what) }

  // The start as a point of the plane, and back: towards the middle until no weight is below a hundredth
  spot() { return [0, 1].map(i => dot(this.state.start, CORNERS.map(c => c[i]))) }
  begin([x, y]) {
    const p = [1 - x - y/(2*HIGH), x - y/(2*HIGH), y/HIGH], least = Math.min(...p)
    const inward = least < .01 ? (1/3 - .01)/(1/3 - least) : 1
    this.set({start: p.map(v => 1/3 + inward*(v - 1/3))})
  }
  wish(l, point) {
    const long = Math.max(1, norm(point)), wishes = [...this.state.wishes]
    wishes[l] = point.map(v => v/long)
    this.set({wishes})
  }

  // A handle that follows the pointer, and the arrow keys (finer with Shift)
  grip(knob, where, move) {
    const svg = knob.ownerSVGElement, disc = svg.classList.contains('disc')
    const point = e => {
      const {x, y} = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse())
      return disc ? [(x - DISC.mid)/DISC.scale, (DISC.mid - y)/DISC.scale]
                  : [(x - TRIANGLE.left)/TRIANGLE.side, (TRIANGLE.base - y)/TRIANGLE.side]
    }
    knob.addEventListener('pointerdown', e => {
      knob.setPointerCapture(e.pointerId)
      knob.focus()
      e.preventDefault()
    })
    knob.addEventListener('touchstart', e => e.preventDefault(), {passive: false})
    knob.addEventListener('pointermove', e => { if (knob.hasPointerCapture(e.pointerId)) move(point(e)) })
    knob.addEventListener('keydown', e => {
      const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[e.key]
      if (!way) return
      e.preventDefault()
      move(where().map((v, i) => v + way[i]*(e.shiftKey ? .01 : .05)))
    })
  }

  set(part) {
    Object.assign(this.state, part)
    const {wishes, start, flow, slid} = this.state
    this.grads = wishes.map(gradient)
    this.ways = Object.fromEntries(Object.keys(FLOWS).map(f => [f, way(f, start, add(this.grads))]))
    this.step = Math.round(STEPS*(slid/100)**2)
    this.p = this.ways[flow][this.step]
    this.numbers = measure(this.p, this.grads)
    this.place.querySelectorAll('input[type=radio]').forEach(r => { r.checked = r.value === flow })
    this.find('input[type=range]').value = slid
    this.drawDisc()
    this.drawTriangle()
    this.say()
  }
  drawDisc() {
    const felt = this.grads.map(g => feel(this.p, g)), none = inDisc([0, 0])
    this.find('.arrows').innerHTML = this.state.wishes.map((w, l) => drawn(none, inDisc(w), `said l${l + 1}`)).join('')
      + felt.map((n, l) => drawn(none, inDisc(arrow(n.map(v => 3*v))), `felt l${l + 1}`)).join('')
      + drawn(none, inDisc(arrow(add(felt))), 'sum')
    this.state.wishes.forEach((w, l) => {
      const text = `strength ${number(norm(w))}, to the right ${number(w[0])}, up ${number(w[1])}`
      this.hold(this.find(`.handle.l${l + 1}`), inDisc(w), norm(w), text)
    })
  }
  drawTriangle() {
    const {start, flow} = this.state, [x, y] = inTriangle(this.p)
    const points = f => SHOWN.map(t => at(inTriangle(this.ways[f][t]))).join('L')
    const line = f => `<path class="way${f === flow ? ' chosen' : ''}" d="M${points(f)}"/>`
    const order = Object.keys(FLOWS).sort((a, b) => (a === flow) - (b === flow))
    this.find('.ways').innerHTML = order.map(line).join('') + `<circle class="now" cx="${x}" cy="${y}" r="6"/>`
    this.hold(this.find('.start'), inTriangle(start), Math.max(...start), `weights ${start.map(number).join(', ')}`)
  }
  hold(knob, point, value, text) {
    knob.setAttribute('transform', `translate(${at(point)})`)
    knob.setAttribute('aria-valuenow', value.toFixed(2))
    knob.setAttribute('aria-valuetext', text)
  }
  say() {
    const {raw, felt, rho, bound: most} = this.numbers, limit = bound(0, this.grads.length)
    const place = v => `${(Math.min(1, Math.max(-.5, v)) + .5)/1.5*100}%`
    this.find('.step output').textContent = this.step
    for (const [name, v] of Object.entries({raw, felt, limit, most, 'at-limit': limit})) {
      this.find(`.scale .${name}`).style.left = place(v)
    }
    this.find('.scale .below').style.width = place(limit)
    const rows = [['Λ', 'of the wishes', signed(raw)], ['Λ<sub>J</sub>', 'of what α feels', signed(felt)],
      ['ϱ', 'of it survives the sum', number(rho)],
      ['', 'the most that Λ<sub>J</sub> can be at this ϱ', signed(most)],
      ['p', 'op 1, 2, 3', this.p.map(v => v.toFixed(3)).join('  ')]]
    this.find('dl').innerHTML = rows.map(([sign, name, v]) =>
      `<div><dt><b>${sign}</b> ${name}</dt><dd>${v}</dd></div>`).join('')
    const verdict = !this.grads.some(norm) ? 'No layer wishes anything.'
      : rho < 5e-3 ? 'The wishes cancel in what α feels: the layers pull, and hardly anything moves α.'
      : raw > limit + 1e-9
        ? 'Λ is above 1 − 4/L, and so is Λ<sub>J</sub>: with no strengths can these wishes cancel.'
      : 'Λ is not above 1 − 4/L, nor is Λ<sub>J</sub>: with other strengths these wishes cancel.'
    if (verdict !== this.verdict) this.find('.verdict').innerHTML = this.verdict = verdict
  }
}

document.querySelectorAll('.simplex').forEach(place => { place.figure = new Figure(place) })
return {gradient, measure, way, add}
})()
