// Calls to the endpoint that the page came from. A refusal is an EndpointError in the endpoint's own words; a key that is asked for is
// asked of the reader once, and kept in this tab alone.

const KEY = 'mixwright-key';
const dialog = document.getElementById('key-dialog');
let asked = null; // the promise of a key, while the dialog is open: several calls may be refused at once

export class EndpointError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The answer's JSON. Throws an EndpointError, or an AbortError where `signal` stopped it. */
export async function call(path, options = {}) {
  return (await answer(path, options)).json();
}

/** The answer as it came; see `call`. */
export async function answer(path, {method = 'GET', body, signal} = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {...(body && {'Content-Type': 'application/json'}), ...(key && {Authorization: `Bearer ${key}`})};
    const response = await fetched(path, {method, headers, signal, body: body && JSON.stringify(body)});
    if (response.ok) return response;
    const message = await refusal(response);
    const isOutdated = key !== sessionStorage.getItem(KEY); // another call has learnt the key meanwhile
    if (response.status === 401 && (isOutdated || await keyGiven(Boolean(key)))) continue;
    throw new EndpointError(message, response.status);
  }
}

async function fetched(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new EndpointError('The endpoint does not answer. Is it still running?', 0);
  }
}

async function refusal(response) {
  const wait = response.headers.get('Retry-After');
  const body = await response.json().catch(() => null);
  const words = body?.error?.message ?? `The endpoint answered ${response.status} ${response.statusText}.`;
  return wait ? `${words} (${response.status}, again in ${wait} s)` : words;
}

function keyGiven(isRefused) {
  asked ??= keyFromDialog(isRefused).finally(() => { asked = null; });
  return asked;
}

/** Whether a key was given. */
function keyFromDialog(isRefused) {
  const form = document.getElementById('key-form');
  document.getElementById('key-reason').textContent = isRefused ? 'The last one was refused.' : '';
  form.elements.key.value = '';
  dialog.showModal();
  return new Promise(settle => {
    form.onsubmit = event => {
      event.preventDefault();
      sessionStorage.setItem(KEY, form.elements.key.value);
      dialog.close('given');
    };
    document.getElementById('key-cancel').onclick = () => dialog.close('');
    dialog.oncancel = () => { dialog.returnValue = ''; };
    dialog.onclose = () => settle(dialog.returnValue === 'given');
  });
}
