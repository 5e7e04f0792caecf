// The last completed evaluation as pictures, and a form that starts one, follows it and can cancel it.

import {answer, call} from './api.js';
import {charts, groups, table} from './charts.js';
import {element, spokenList} from './elements.js';

const PATH = 'v1/evaluations';
const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 4000;
const by = id => document.getElementById(id);
const isUnderWay = evaluation => evaluation.status === 'queued' || evaluation.status === 'running';
const wait = ms => new Promise(done => setTimeout(done, ms));
let chosenAdapters = () => [];
let followed = ''; // the id of the evaluation that is waited for

/** Shows what the endpoint has and goes on watching what it is at. */
export async function startEvaluations(scenario, chosen) {
  chosenAdapters = chosen;
  by('evaluate').addEventListener('submit', event => { event.preventDefault(); start(); });
  by('cancel').addEventListener('click', cancel);
  by('ask').addEventListener('change', describeForm);
  describeForm();
  await refresh();
}

function describeForm() {
  by('evaluated').textContent = `all tasks, with ${spokenList(['base', ...chosenAdapters()])} as chosen above`;
}

async function refresh() {
  try {
    const {data} = await call(PATH);
    by('evaluate').hidden = false;
    showLast(data.find(evaluation => evaluation.status === 'completed'));
    const current = data.find(isUnderWay);
    if (current) await follow(current);
  } catch (error) {
    fail(error.message);
  }
}

function showLast(evaluation) {
  if (!evaluation) {
    by('evaluation-line').textContent = 'None has been completed yet. Choose a split and how many rows of each task to score, and press Evaluate.';
    return;
  }
  const adapters = evaluation.request.adapters;
  const found = groups(evaluation, adapters);
  const {split, limit} = evaluation.request;
  const when = new Date(evaluation.created * 1000).toLocaleString();
  const rows = limit ? `at most ${limit} rows a task` : 'all rows';
  by('save').hidden = false;
  by('save').onclick = () => savePredictions(evaluation.id);
  by('evaluation-line').textContent =
    `${split} split, ${rows}, ${decodingLabel(evaluation.request.decoding)}, started ${when}. Whiskers are 95 % intervals over rows.`;
  by('charts').replaceChildren(...charts(found));
  by('scores').replaceChildren(...table(found, adapters));
  by('figures').hidden = false;
}

function decodingLabel(decoding) {
  if (!decoding || typeof decoding === 'string') return decoding || 'greedy';
  const plain = {num_beams: 1, length_penalty: 1, temperature: 0, top_p: 1, top_k: 0, repetition_penalty: 1, seed: 0};
  const set = Object.entries(decoding).filter(([name, value]) => value !== plain[name]);
  return set.map(([name, value]) => `${name.replaceAll('_', ' ')} ${value}`).join(', ') || 'greedy';
}

async function start() {
  by('evaluation-error').hidden = true;
  const form = by('evaluate');
  if (!form.reportValidity()) return;
  const limit = form.elements.limit.value;
  const body = {tasks: 'all', split: form.elements.split.value, limit: limit ? Number(limit) : null, adapters: ['base', ...chosenAdapters()]};
  showWork('reading the rows'); // the first time this takes a while
  try {
    await follow(await call(PATH, {method: 'POST', body}));
  } catch (error) {
    fail(error.message);
  } finally {
    endWork();
  }
}

/** A line beside a bar that moves without an end, until `showProgress` knows more. */
function showWork(words) {
  by('evaluate').elements.start.disabled = true;
  by('progress').hidden = false;
  by('progress-line').textContent = words;
  by('bar').removeAttribute('value');
  by('cancel').hidden = true;
}

function endWork() {
  by('evaluate').elements.start.disabled = false;
  by('progress').hidden = true;
}

/** Shows an evaluation's progress until it has ended, and then what it found. */
async function follow(evaluation) {
  const {id} = evaluation;
  if (followed === id) return;
  followed = id;
  by('evaluate').elements.start.disabled = true;
  try {
    for (let pause = FIRST_WAIT_MS; isUnderWay(evaluation) && followed === id; pause = Math.min(LONGEST_WAIT_MS, 1.3 * pause)) {
      showProgress(evaluation);
      await wait(pause);
      evaluation = await call(`${PATH}/${encodeURIComponent(id)}`);
    }
  } finally {
    followed = '';
    endWork();
  }
  if (evaluation.status === 'completed') showLast(evaluation);
  if (evaluation.status === 'failed') fail(evaluation.error?.message ?? 'The evaluation failed.');
  by('spoken').textContent = `Evaluation ${evaluation.status}.`;
}

function showProgress({id, status, progress: {done, total, seconds_left: left}}) {
  by('progress').hidden = by('cancel').hidden = false;
  by('cancel').dataset.id = id;
  by('bar').max = Math.max(1, total);
  by('bar').value = done;
  const rest = done === total ? ', scoring' : Number.isFinite(left) ? `, about ${duration(left)} left` : '';
  by('progress-line').textContent = status === 'queued' ? 'waiting for its turn' : `${done} of ${total} answers${rest}`;
}

const duration = seconds => seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;

async function cancel() {
  try {
    await call(`${PATH}/${encodeURIComponent(by('cancel').dataset.id)}/cancel`, {method: 'POST'});
  } catch (error) {
    fail(error.message);
  }
}

/** A plain link would not carry the key. */
async function savePredictions(id) {
  try {
    const blob = await (await answer(`${PATH}/${encodeURIComponent(id)}/predictions`)).blob();
    const link = element('a', {href: URL.createObjectURL(blob), download: `predictions-${id}.jsonl`});
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    fail(error.message);
  }
}

function fail(words) {
  by('evaluation-error').textContent = words;
  by('evaluation-error').hidden = false;
}
