// Scores as bars, in the form of the report's: a picture a task, every adapter on one scale of 0 to 100, with the interval of its score.

import {drawn, element, number} from './elements.js';

const WIDTH = 340, TOP = 26, STEP = 22, BAR = 12, VALUE_WIDTH = 36, LETTER = 7.4, LONGEST_NAME = 18;
const METRICS = {'errant_f0.5': 'ERRANT F0.5', gleu: 'GLEU', sari: 'SARI', exact_match: 'exact match'};

export const metricLabel = metric => METRICS[metric] ?? metric;
const taskLabel = task => task.replaceAll('_', ' ');

/**
 * What an evaluation found, a group for seen and one for unseen tasks: [{title, tasks: [{title, note, scores}]}], the mean first.
 * Scores are in the order of `adapters`.
 */
export function groups({scores, summary}, adapters) {
  return [['Seen in training', true, 'seen'], ['Unseen in training', false, 'unseen']].map(([title, isSeen, key]) => {
    const kept = scores.filter(score => score.seen === isSeen);
    const names = [...new Set(kept.map(score => score.task))];
    const tasks = names.map(name => {
      const own = adapters.map(adapter => kept.find(score => score.task === name && score.adapter === adapter)).filter(Boolean);
      return {title: taskLabel(name), metric: metricLabel(own[0].metric), rows: own[0].rows, scores: own};
    });
    const means = adapters.flatMap(adapter => summary?.[adapter]?.[key] ? [{adapter, ...summary[adapter][key]}] : []);
    const mean = tasks.length > 1 && means.length ? [{title: `mean of ${tasks.length} tasks`, metric: '', rows: null, scores: means}] : [];
    return {title, tasks: [...mean, ...tasks]};
  }).filter(group => group.tasks.length);
}

/** The groups as headed rows of pictures. */
export function charts(found) {
  return found.flatMap(group => [
    element('h3', {}, group.title),
    element('div', {class: 'bar-figures'}, ...group.tasks.map(task => element('figure', {}, picture(task)))),
  ]);
}

function picture({title, metric, rows, scores}) {
  const short = name => name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
  const left = 8 + LETTER * Math.max(...scores.map(score => short(score.adapter).length));
  const across = value => left + Math.min(100, Math.max(0, value)) / 100 * (WIDTH - left - VALUE_WIDTH);
  const foot = TOP + STEP * scores.length;
  const text = (content, x, y, attributes) => drawn('text', {x, y, ...attributes}, content);
  const line = (x1, y1, x2, y2, name) => drawn('line', {x1, y1, x2, y2, class: name});
  const heading = [title, metric, rows && `n = ${rows}`].filter(Boolean).join(', ');
  const parts = [text(heading, 0, 13, {class: 'axis-name'})];
  for (const tick of [0, 25, 50, 75, 100]) {
    parts.push(line(across(tick), TOP - 5, across(tick), foot, 'grid'), text(tick, across(tick), foot + 14, {'text-anchor': 'middle'}));
  }
  scores.forEach((score, place) => {
    const top = TOP + STEP * place, middle = top + BAR / 2;
    const kind = score.adapter === 'base' ? 'of-base' : 'of-lead';
    parts.push(text(short(score.adapter), left - 6, middle + 4, {'text-anchor': 'end', class: 'bar-label'}));
    parts.push(text(number(score.value), WIDTH, middle + 4, {'text-anchor': 'end', class: 'bar-label'}));
    if (!Number.isFinite(score.value)) return;
    const width = Math.max(1, across(score.value) - left);
    parts.push(drawn('rect', {x: left, y: top, width, height: BAR, class: `score-bar ${kind}`}, drawn('title', {}, spoken(score))));
    if (!hasInterval(score)) return;
    const [low, high] = [across(score.low), across(score.high)];
    parts.push(line(low, middle, high, middle, 'bar-whisker'));
    for (const end of [low, high]) parts.push(line(end, middle - 3, end, middle + 3, 'bar-whisker'));
  });
  const label = `${heading}: ${scores.map(spoken).join('; ')}`;
  return drawn('svg', {viewBox: `0 0 ${WIDTH} ${foot + 18}`, role: 'img', 'aria-label': label}, ...parts);
}

const hasInterval = score => Number.isFinite(score.low) && Number.isFinite(score.high) && score.low < score.high;
const spoken = score => `${score.adapter} ${number(score.value)}${hasInterval(score) ? `, from ${number(score.low)} to ${number(score.high)}` : ''}`;

/** Head and body of the table that says the same. */
export function table(found, adapters) {
  const head = element('thead', {}, element('tr', {}, ...['Task', 'Metric', 'Rows', ...adapters].map(name => element('th', {scope: 'col'}, name))));
  const cell = score => score
    ? element('td', {}, number(score.value), ...(hasInterval(score) ? [element('small', {}, ` ${number(score.low)} to ${number(score.high)}`)] : []))
    : element('td', {}, '–');
  const bodies = found.map(group => element('tbody', {},
    element('tr', {class: 'mean'}, element('th', {colspan: 3 + adapters.length, scope: 'rowgroup'}, group.title)),
    ...group.tasks.map(task => element('tr', {}, element('th', {scope: 'row'}, task.title), element('td', {}, task.metric),
      element('td', {}, task.rows ?? ''), ...adapters.map(name => cell(task.scores.find(score => score.adapter === name)))))));
  return [element('caption', {class: 'spoken'}, 'Scores by task, with 95 % intervals'), head, ...bodies];
}
