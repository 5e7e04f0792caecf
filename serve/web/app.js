// The page: a task, a text and some adapters become requests to /v1/rewrite, and their answers stand side by side.

import {call} from './api.js';
import {difference} from './diff.js';
import {startEvaluations} from './evaluations.js';
import {element, spokenList} from './elements.js';

const BASE = 'base';
const MANY_ADAPTERS = 10; // from here on a filter helps
const LONGEST_SAMPLE = 70;

const by = id => document.getElementById(id);
const form = by('ask');
let scenario = {tasks: [], adapters: []};
let running = null; // the AbortController of the answers that are waited for

const taskNow = () => scenario.tasks.find(task => task.name === form.elements.task.value);
const chosenAdapters = () => [...by('adapters').querySelectorAll('input:checked')].map(box => box.value);
const taskLabel = name => name.replaceAll('_', ' ');

// ---- what can be asked

async function load() {
  try {
    scenario = await call('v1/scenario?samples=false');
  } catch (error) {
    show(by('error'), error.message);
    return;
  }
  by('served').textContent = `· ${scenario.model} · ${scenario.name}`;
  offerTasks();
  offerAdapters();
  startEvaluations(scenario, chosenAdapters);
  offerSamples('reading the dev rows …');
  try {
    scenario = await call('v1/scenario');
  } catch { /* the page works without samples, and whatever is wrong is said where something is asked */ }
  offerSamples('no samples: no dev rows are at hand');
  if (!form.elements.text.value) takeSample(0);
}

function offerTasks() {
  const group = (label, tasks) => tasks.length
    ? [element('optgroup', {label}, ...tasks.map(task => element('option', {value: task.name}, taskLabel(task.name))))] : [];
  const [seen, unseen] = [true, false].map(kind => scenario.tasks.filter(task => task.seen === kind));
  form.elements.task.replaceChildren(...group('seen in training', seen), ...group('unseen in training', unseen));
  describeTask();
}

function describeTask() {
  const task = taskNow();
  if (!task) return;
  by('badge').hidden = false;
  by('badge').textContent = task.seen ? 'seen in training' : 'unseen in training';
  by('badge').className = task.seen ? 'tag' : 'tag unseen';
  by('instruction-shown').textContent = form.elements.instruction.value || task.instruction;
  form.elements.instruction.placeholder = task.instruction;
}

function offerAdapters() {
  const adapters = scenario.adapters.filter(name => name !== BASE);
  const first = adapters.includes('best') ? 'best' : adapters[0];
  const boxes = adapters.map(name => element('label', {class: 'check'},
    element('input', {type: 'checkbox', name: 'adapter', value: name, ...(name === first && {checked: ''})}), element('span', {}, name)));
  by('adapters').replaceChildren(...(boxes.length ? boxes : [element('p', {class: 'hint'}, 'This endpoint serves base alone.')]));
  by('filter').hidden = adapters.length < MANY_ADAPTERS;
}

function filterAdapters() {
  for (const label of by('adapters').querySelectorAll('label')) {
    label.hidden = !label.textContent.includes(by('filter').value.trim()) && !label.firstChild.checked;
  }
}

function offerSamples(none) {
  const samples = taskNow()?.samples ?? [];
  const short = text => text.length > LONGEST_SAMPLE ? `${text.slice(0, LONGEST_SAMPLE - 1)}…` : text;
  const head = samples.length ? `take one of ${samples.length} dev rows` : none;
  const entries = samples.map((text, place) => element('option', {value: place}, short(text)));
  by('sample').replaceChildren(element('option', {value: ''}, head), ...entries);
  by('sample').disabled = !samples.length;
}

function takeSample(place) {
  const text = taskNow()?.samples[place];
  if (text === undefined) return;
  form.elements.text.value = text;
  by('sample').value = place;
  hide(by('error'));
}

function changeTask() {
  const isUntouched = !form.elements.text.value || by('sample').value !== '';
  describeTask();
  offerSamples('no samples: no dev rows are at hand');
  if (isUntouched) takeSample(0);
}

function describeOptions() {
  const {strategy, temperature, top_p: topP, seed, max_new_tokens: limit, instruction} = form.elements;
  const isSampling = strategy.value === 'sampling';
  form.querySelectorAll('.of-sampling').forEach(item => {
    item.hidden = !isSampling;
    item.querySelector('input').disabled = !isSampling; // what does not count is not checked either
  });
  const decoding = isSampling ? `temperature ${temperature.value}, top p ${topP.value}, seed ${seed.value}` : 'greedy';
  by('options-set').textContent = `${decoding}, at most ${limit.value} new tokens${instruction.value ? ', own instruction' : ''}`;
  describeTask();
}

// ---- asking

function request(adapter) {
  const {task, text, strategy, temperature, top_p: topP, seed, max_new_tokens: limit, instruction} = form.elements;
  const sampling = () => ({temperature: Number(temperature.value), top_p: Number(topP.value), seed: Number(seed.value)});
  return {
    task: task.value,
    texts: [text.value],
    adapter,
    max_new_tokens: Number(limit.value),
    ...(strategy.value === 'sampling' && {decoding: sampling()}),
    ...(instruction.value && {instruction: instruction.value}),
  };
}

async function rewrite() {
  stop();
  hide(by('error'));
  if (!form.reportValidity()) return;
  if (!form.elements.text.value.trim()) {
    show(by('error'), 'There is no text to rewrite: type one, or take a sample.');
    form.elements.text.focus();
    return;
  }
  const mine = running = new AbortController();
  const names = [BASE, ...chosenAdapters()];
  const before = form.elements.text.value;
  const cards = names.map(makeCard);
  by('cards').replaceChildren(...cards.map(card => card.root));
  by('answers').hidden = false;
  by('stop').hidden = false;
  by('spoken').textContent = `Asking ${spokenList(names)}.`;
  const said = await Promise.all(names.map((name, place) => ask(request(name), cards[place], before, mine.signal)));
  if (running !== mine) return;
  running = null;
  by('stop').hidden = true;
  by('spoken').textContent = said.join(' ');
}

function stop() {
  running?.abort();
  running = null;
  by('stop').hidden = true;
}

/** Fills a card with what an adapter answers; gives the sentence that a screen reader says of it. */
async function ask(body, card, before, signal) {
  const started = performance.now();
  const elapsed = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const clock = setInterval(() => { card.time.textContent = elapsed(); }, 100);
  try {
    const {outputs: [output]} = await call('v1/rewrite', {method: 'POST', body, signal});
    const remark = showAnswer(card, before, output);
    return `${body.adapter}: ${remark}, ${elapsed()}.`;
  } catch (error) {
    const words = error.name === 'AbortError' ? 'stopped' : error.message;
    card.root.classList.add('failed');
    card.text.replaceChildren(element('span', {class: error.name === 'AbortError' ? 'hint' : 'error'}, words));
    return `${body.adapter}: ${words}.`;
  } finally {
    clearInterval(clock);
    card.time.textContent = elapsed();
    card.root.removeAttribute('aria-busy');
  }
}

function makeCard(name) {
  const time = element('span', {class: 'time', title: 'from the request to its answer'});
  const copy = element('button', {type: 'button', disabled: ''}, 'Copy');
  copy.setAttribute('aria-label', `Copy the answer of ${name}`);
  const text = element('div', {class: 'output'}, element('span', {class: 'hint'}, 'waiting for the answer'));
  const remark = element('p', {class: 'remark'});
  const head = element('header', {}, element('h3', {}, name), time, copy);
  return {root: element('article', {class: name === BASE ? 'card of-base' : 'card', 'aria-busy': 'true'}, head, text, remark), time, copy, text, remark};
}

/** Shows an answer with its changes marked; gives the remark that sums them up. */
function showAnswer(card, before, output) {
  const {pieces, changes, isOther} = difference(before, output);
  card.text.replaceChildren(...pieces.map(marked));
  const count = changes === 1 ? '1 change' : `${changes} changes`;
  const remark = !output.trim() ? 'an empty answer' : isOther ? 'another text, so nothing is marked' : changes ? count : 'unchanged';
  card.remark.textContent = remark;
  card.copy.disabled = false;
  card.copy.addEventListener('click', () => copyText(output, card.copy));
  return remark;
}

/** A piece as it is shown; white space stands outside its mark, so that no line hangs over the gap between words. */
function marked({kind, text}) {
  if (kind === 'same') return document.createTextNode(text);
  const word = text.trimStart();
  return element('span', {class: kind === 'del' ? 'gone' : 'come'}, text.slice(0, text.length - word.length), element(kind, {}, word));
}

async function copyText(text, button) {
  let said = 'Copied';
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    said = 'Not allowed'; // browsers give the clipboard to https and localhost alone
  }
  button.textContent = by('spoken').textContent = said;
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

function show(line, text) {
  line.textContent = text;
  line.hidden = false;
}

function hide(line) {
  line.hidden = true;
}

form.addEventListener('submit', event => { event.preventDefault(); rewrite(); });
form.addEventListener('input', describeOptions);
form.elements.task.addEventListener('change', changeTask);
form.elements.text.addEventListener('input', () => { by('sample').value = ''; hide(by('error')); });
by('sample').addEventListener('change', () => takeSample(by('sample').value));
by('filter').addEventListener('input', filterAdapters);
by('filter').addEventListener('keydown', event => { if (event.key === 'Enter') event.preventDefault(); });
by('stop').addEventListener('click', stop);
by('marks').addEventListener('change', () => by('answers').classList.toggle('plain', !by('marks').checked));
document.addEventListener('keydown', event => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !document.querySelector('dialog[open]')) {
    event.preventDefault();
    rewrite();
  }
  if (event.key === 'Escape') stop();
});
describeOptions();
load();
