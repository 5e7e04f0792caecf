// Sorts and filters the rows of #rows by the form #row-tools. Without it the page shows all rows, task by task.
(() => {
  const tools = document.getElementById('row-tools');
  const list = document.getElementById('rows');
  if (!tools || !list) return;
  const rows = [...list.children];
  const chosen = name => tools.elements[name].value;
  const gainOf = row => Number(row.dataset.gains.split(' ')[chosen('system')]);
  const signed = gain => (Math.abs(gain) < 0.05 ? '' : gain > 0 ? '+' : '−') + Math.abs(gain).toFixed(1);
  const isKept = row => {
    const task = chosen('task'), copied = chosen('copied');
    return (!task || row.dataset.task === task) && (!copied || row.dataset.copied.split(' ').includes(copied));
  };

  function show() {
    const order = chosen('order');
    const kept = rows.filter(isKept);
    if (order !== 'file') kept.sort((one, other) => (gainOf(one) - gainOf(other)) * (order === 'lost' ? 1 : -1));
    for (const row of kept) {
      const gain = gainOf(row);
      row.querySelector('.gain').textContent = signed(gain);
      row.className = 'sample ' + (Math.abs(gain) < 1e-6 ? 'alike' : gain > 0 ? 'closer' : 'further');
    }
    list.replaceChildren(...kept);
    tools.querySelector('output').textContent = `${kept.length} of ${rows.length} rows`;
  }

  const openAll = open => list.querySelectorAll('details').forEach(item => { item.open = open; });
  tools.addEventListener('change', show);
  tools.addEventListener('submit', event => event.preventDefault());
  tools.elements.open.addEventListener('click', () => openAll(true));
  tools.elements.close.addEventListener('click', () => openAll(false));
  tools.hidden = false;
  show();
})();
