// The search box: the index is fetched when the box is first used; sections whose words all match, titles before texts.
const box = document.getElementById('find'), list = document.getElementById('found')
let loading

function load() {
  loading ??= new Promise((done, failed) => {
    const script = Object.assign(document.createElement('script'), {src: 'search_index.js', onload: done, onerror: failed})
    document.head.append(script)
  })
  return loading
}

function score([place, title, url, text], words) {
  const name = title.toLowerCase(), all = `${place} ${name} ${text.toLowerCase()}`
  if (!words.every(w => all.includes(w))) return 0
  return words.reduce((s, w) => s + (name === w ? 100 : name.startsWith(w) ? 30 : name.includes(w) ? 10 : 1), url.includes('#') ? 0 : 5)
}

function excerpt(text, word) {
  const at = text.toLowerCase().indexOf(word), from = Math.max(0, at - 30)
  return at < 0 ? text.slice(0, 90) : (from ? '… ' : '') + text.slice(from, from + 90)
}

function item([place, title, url, text], word) {
  const li = document.createElement('li'), a = Object.assign(document.createElement('a'), {href: url})
  a.append(Object.assign(document.createElement('b'), {textContent: title}), ` ${place}`,
           Object.assign(document.createElement('span'), {textContent: excerpt(text, word)}))
  li.append(a)
  return li
}

async function find() {
  await load()
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean)
  const hits = words.length ? INDEX.map(s => [score(s, words), s]).filter(h => h[0]).sort((a, b) => b[0] - a[0]).slice(0, 12) : []
  list.replaceChildren(...hits.map(h => item(h[1], words[0])))
  if (words.length && !hits.length) list.append(Object.assign(document.createElement('li'), {textContent: 'Nothing found.'}))
}

box.addEventListener('focus', load)
box.addEventListener('input', find)
box.addEventListener('keydown', e => {
  if (e.key === 'Enter') list.querySelector('a')?.click()
  if (e.key === 'Escape') { box.value = ''; find() }
})
document.addEventListener('keydown', e => {
  if (e.key === '/' && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { e.preventDefault(); box.focus() }
})
