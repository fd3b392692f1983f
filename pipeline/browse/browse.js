// The page asks the server for rows and draws them; every text is set as text, never read as HTML.
(() => {
  const $ = id => document.getElementById(id), given = $("given").dataset, STEP = Number(given.rows);
  const filters = $("filters"), form = $("mark");
  const HEAD = ["clip_id", "source", "speaker_id", "split", "at_s", "length_s", "video_lag_ms", "confidence"];
  const HIDDEN = ["href", "mark", "note", "text", "track_id", "video_id"];
  let rows = [], at = -1, first = 0, total = 0, asked = 0;

  const number = (x, digits, signed) => {
    const text = x.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : (signed && x > 0 ? "+" : "") + text;
  };
  const written = (name, x) => x === null || x === "" ? "–" : typeof x !== "number" ? String(x) :
    name.endsWith("_ms") ? number(x, 0, true) + " ms" : name.endsWith("_s") ? number(x, 1) + " s" :
    Number.isInteger(x) ? String(x) : number(x, 2);
  const element = (kind, text, name) => {
    const made = document.createElement(kind);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  };

  const parameters = () => {
    const made = new URLSearchParams();
    for (const [name, value] of new FormData(filters)) if (value) made.set(name, value);
    return made;
  };
  async function load(where = 0) {
    const mine = ++asked, query = parameters();
    history.replaceState(null, "", "#" + query);
    query.set("first", where); query.set("count", STEP);
    let told;
    try {
      const answer = await fetch("clips?" + query);
      told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
    } catch (error) {
      if (mine === asked) $("count").textContent = "The clips cannot be shown: " + error.message;
      return;
    }
    if (mine !== asked) return;  // a later question was asked meanwhile
    rows = told.rows; first = where; total = told.total; at = -1;
    $("rows").replaceChildren(...rows.map(drawn));
    $("count").textContent = total ? `${first + 1} to ${first + rows.length} of ${total}, ${told.marked} marked in all`
      : `No clip fits; ${told.marked} marked in all`;
    $("previous").disabled = first === 0;
    $("next").disabled = first + rows.length >= total;
    $("shown").hidden = !rows.length;
    if (rows.length) choose(0, false); else $("video").removeAttribute("src");
  }
  function drawn(row, i) {
    const item = element("li"), button = element("button", undefined, "row");
    button.type = "button";
    button.onclick = () => choose(i, false);
    button.append(element("b", row.text || row.clip_id), element("i", row.mark ? "✕ " + row.mark : "", "flag"));
    const facts = [row.source, written("at_s", row.at_s), "for " + written("length_s", row.length_s)];
    if (row.video_lag_ms !== null) facts.push("lag " + written("video_lag_ms", row.video_lag_ms));
    else facts.push(row.offset_status.replaceAll("_", " "));
    if (row.confidence !== null) facts.push("confidence " + number(row.confidence, 2));
    facts.push(row.speaker_id, row.split);
    button.append(element("span", facts.join(" · ")));
    item.append(button);
    return item;
  }
  function choose(i, focused = true) {
    if (i < 0 || i >= rows.length) return;
    const buttons = [...document.querySelectorAll("#rows .row")];
    if (buttons[at]) buttons[at].removeAttribute("aria-current");
    at = i;
    buttons[at].setAttribute("aria-current", "true");
    if (focused) buttons[at].focus();
    const row = rows[at];
    $("video").src = "clip/" + encodeURIComponent(row.clip_id) + ".mp4";
    $("title").textContent = row.text || row.clip_id;
    $("told").textContent = row.mark ? "Marked: " + row.mark + (row.note ? ", " + row.note : "") : "";
    if (form) {
      // What `yld dedup` marked has a reason that nobody chooses here.
      if ([...$("reason").options].some(o => o.value === row.mark)) $("reason").value = row.mark;
      $("note").value = row.note;
      $("back").disabled = !row.mark;
    }
    const names = [...HEAD, ...Object.keys(row).filter(n => !HEAD.includes(n) && !HIDDEN.includes(n))];
    $("facts").replaceChildren(...names.flatMap(name => {
      const value = element("dd"), text = written(name, row[name]);
      if (name === "source" && row.href) {
        const link = element("a", text);
        link.href = row.href; link.target = "_blank"; link.rel = "noreferrer noopener";
        value.append(link);
      } else value.textContent = text;
      return [element("dt", name.replaceAll("_", " ")), value];
    }));
  }
  async function mark(reason) {
    const i = at, row = rows[i];
    if (!form || !row) return;
    try {
      const answer = await fetch("marks", { method: "POST", headers: { "X-Yld-Token": given.token, "Content-Type": "application/json" },
        body: JSON.stringify({ clip: row.clip_id, reason, note: reason === null ? "" : $("note").value }) });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      if (rows[i] !== row) return;  // the list is another one by now
      rows[i] = told.row;
      const had = document.querySelectorAll("#rows li")[i], hadFocus = had.contains(document.activeElement);
      had.replaceWith(drawn(told.row, i));
      $("count").textContent = $("count").textContent.replace(/\d+ marked/, told.marked + " marked");
      if (at === i) choose(i, hadFocus);
      $("told").textContent = told.row.mark ? `Marked: ${told.row.mark}` : "Not marked any more.";
    } catch (error) {
      $("told").textContent = "It was not marked: " + error.message;
    }
  }
  const play = () => $("video").paused ? $("video").play() : $("video").pause();

  $("all").open = innerWidth > 760;
  let wait;
  filters.oninput = () => { clearTimeout(wait); wait = setTimeout(load, 150); };
  filters.onsubmit = event => { event.preventDefault(); load(); };
  $("previous").onclick = () => load(Math.max(0, first - STEP));
  $("next").onclick = () => load(first + STEP);
  if (form) {
    form.onsubmit = event => { event.preventDefault(); mark($("reason").value); };
    $("back").onclick = () => mark(null);
  }
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && inField) { event.target.blur(); return; }
    if (inField || event.target.matches("video, summary")) return;
    if (event.key === " " && event.target.matches("button:not(.row), a")) return;
    const reasons = form ? [...$("reason").options].map(o => o.value) : [];
    const keys = {
      j: () => choose(at + 1), ArrowDown: () => choose(at + 1), k: () => choose(at - 1), ArrowUp: () => choose(at - 1),
      " ": play, x: () => mark(form && $("reason").value), u: () => mark(null), "/": () => filters.elements.words.focus(),
      n: () => { if (!$("next").disabled) load(first + STEP); }, p: () => { if (!$("previous").disabled) load(first - STEP); },
    };
    const reason = reasons[Number(event.key) - 1];
    if (reason) { $("reason").value = reason; mark(reason); } else if (keys[event.key]) keys[event.key](); else return;
    event.preventDefault();
  });
  for (const [name, value] of new URLSearchParams(location.hash.slice(1)))
    if (filters.elements[name]) filters.elements[name].value = value;
  load();
})();
