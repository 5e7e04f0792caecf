// Small helpers that make parts of the page. Text goes in as text: whatever a model wrote, nothing of it is read as HTML.

const SVG = 'http://www.w3.org/2000/svg';

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const element = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
export const drawn = (name, attributes, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

/** `a`, `a and b`, `a, b and c`. */
export const spokenList = names => [names.slice(0, -1).join(', '), ...names.slice(-1)].filter(Boolean).join(' and ');

/** `45.2`, with a true minus sign; a dash where there is no value. */
export const number = value => Number.isFinite(value) ? value.toFixed(1).replace(/^-(?=.*[1-9])/, '−').replace(/^-/, '') : '–';
