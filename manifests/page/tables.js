// Tables that sort and filter. Rows come as columns of JSON, deflated where there are many, and
// are drawn 100 (on a phone 20) at a time; every text is set as text, never read as HTML.
document.querySelectorAll(".sheet[data-rows]").forEach(async sheet => {
  const SHORT = 24, STEP = innerWidth < 760 ? 20 : 100, held = sheet.querySelector("script");
  const body = sheet.querySelector("tbody"), heads = [...sheet.querySelectorAll("th")];
  const note = sheet.querySelector("[role=status]"), more = sheet.querySelector(".more");
  let content = held.textContent;
  if (held.dataset.packed) {
    if (!window.DecompressionStream) {
      note.textContent = "This browser cannot unpack the list; the first rows are shown.";
      return;
    }
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    content = await new Response(stream).text();
  }
  const columns = JSON.parse(content), total = Number(sheet.dataset.rows);
  const value = (c, i) => c.kind === "link" ? c.texts[c.which[i]] : c.values[i];
  const shown = (c, x) => {
    if (x === null || c.kind !== "number") return x === null ? "" : String(x);
    const text = x.toFixed(c.digits), none = Number(text) === 0;
    return none ? text.replace("-", "") : (c.signed && x > 0 ? "+" : "") + text;
  };
  let order = [...Array(total).keys()], found = order, drawn = 0;
  const draw = fresh => {
    if (fresh) { body.replaceChildren(); drawn = 0; }
    for (const i of found.slice(drawn, drawn + STEP)) {
      const row = body.insertRow();
      for (const c of columns) {
        const cell = row.insertCell(), text = shown(c, value(c, i));
        cell.dataset.name = c.name;
        cell.className = c.kind === "number" ? "n" :
          text.length > SHORT ? "" : text.includes(" ") ? "s" : "s id";
        const href = c.kind === "link" && c.hrefs[c.which[i]];
        if (!text) continue;
        const inner = document.createElement(href ? "a" : "span");
        if (href) inner.href = href + c.after[i];
        inner.textContent = text;
        cell.append(inner);
      }
    }
    drawn = Math.min(found.length, drawn + STEP);
    note.textContent = `${drawn} of ${found.length} shown` +
      (found.length < total ? `, of ${total} in all` : "");
    more.hidden = drawn >= found.length;
  };
  const filter = () => {
    const words = sheet.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
    found = !words.length ? order : order.filter(i => {
      const text = columns.map(c => shown(c, value(c, i))).join(" ").toLowerCase();
      return words.every(word => text.includes(word));
    });
    draw(true);
  };
  heads.forEach((head, k) => head.querySelector("button").onclick = () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const c = columns[k];
    order.sort((i, j) => {
      const a = value(c, i), b = value(c, j);
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a < b ? -1 : a > b ? 1 : 0) || i - j;
    });
    filter();
  });
  sheet.querySelector("input").oninput = filter;
  more.onclick = () => draw(false);
  const tools = sheet.querySelector(".tools");
  tools.hidden = total < Number(tools.dataset.from);
  draw(true);
});
