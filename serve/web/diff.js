// Words that changed between two texts, by the report's rules: words and punctuation marks count, white space does not.

const WORD = /\s*(?:[\p{L}\p{M}\p{N}_]+(?:['’][\p{L}\p{M}\p{N}_]+)*|[^\p{L}\p{M}\p{N}_\s])/gu;
const LEAST_SHARED = 0.25; // below it a marking word by word is noise

/**
 * The words of `after`, with those of `before` that are gone.
 *
 * Gives `pieces`, each a {kind: 'same' | 'del' | 'ins', text} with the white space that stood before it; the texts of 'same' and 'ins'
 * together are `after` up to white space at its end. `changes` counts places, not words. `isOther` says that the two share too
 * little to be read word by word: then all of `after` is one piece.
 */
export function difference(before, after) {
  const [gone, come] = [before.match(WORD) ?? [], after.match(WORD) ?? []];
  const steps = edits(gone.map(word => word.trim()), come.map(word => word.trim()));
  const shared = steps.filter(kind => kind === 'same').length;
  const total = gone.length + come.length;
  const isOther = gone.length > 0 && come.length > 0 && 2 * shared / total < LEAST_SHARED;
  if (isOther) return {pieces: [{kind: 'same', text: after}], changes: 1, isOther};
  const pieces = inRuns(steps, gone, come);
  const changes = pieces.filter((piece, place) => piece.kind !== 'same' && (place === 0 || pieces[place - 1].kind === 'same')).length;
  return {pieces, changes, isOther};
}

/** 'same', 'del' and 'ins' in the order of the texts, with as many 'same' as can be: a longest common subsequence. */
function edits(before, after) {
  const width = after.length + 1;
  const longest = new Uint16Array((before.length + 1) * width); // of what is left from each pair of places on
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      longest[i * width + j] = before[i] === after[j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const steps = [];
  let i = 0, j = 0;
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      steps.push('same'); i++; j++;
    } else if (j === after.length || (i < before.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      steps.push('del'); i++;
    } else {
      steps.push('ins'); j++;
    }
  }
  return steps;
}

/** The words in runs of one kind; of a change, what is gone stands before what came. */
function inRuns(steps, gone, come) {
  const pieces = [];
  const run = {same: '', del: '', ins: ''};
  const flush = kinds => {
    for (const kind of kinds) {
      if (run[kind]) pieces.push({kind, text: run[kind]});
      run[kind] = '';
    }
  };
  let i = 0, j = 0;
  for (const step of steps) {
    flush(step === 'same' ? ['del', 'ins'] : ['same']);
    if (step === 'same') i++; // the white space of the answer is shown
    run[step] += step === 'del' ? gone[i++] : come[j++];
  }
  flush(['same', 'del', 'ins']);
  return pieces;
}
