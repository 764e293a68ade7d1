// The page: charts drawn where the data is, tables sorted by their heads and filtered, the age of the bars counted.
(() => {
  "use strict";
  const { page, kinds, element } = volassets;

  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const spec = page.charts[figure.dataset.chart];
    figure.querySelector(".how").remove();
    kinds[spec.kind](figure, spec);
  }

  // "12.3 %", "+1,234", "<.0001", ".05 [.01, .1]" and dates by their value, words as words; blanks stay last.
  function sortable(text) {
    const plain = text.trim().replaceAll(",", "").replace("−", "-");
    if (/^\d{4}-\d\d/.test(plain)) return plain;
    const number = parseFloat(plain.replace(/^</, ""));
    return Number.isNaN(number) ? plain.toLowerCase() : number - (plain.startsWith("<") ? 1e-12 : 0);
  }

  function compare(a, b) {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
    return typeof a === typeof b ? (a < b ? -1 : +(a > b)) : typeof a === "number" ? -1 : 1;
  }

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const text = head.textContent;
      if (!text) return;
      const press = element("button", { type: "button", title: `sort by ${text}` }, text);
      head.replaceChildren(press);
      press.addEventListener("click", () => {
        const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
        const keyed = [...body.rows].map((row) => [sortable(row.cells[column].textContent), row]);
        keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : way * compare(a, b)));
        body.append(...keyed.map(([, row]) => row));
      });
    });
    if (body.rows.length > 20) {
      const box = element("input", { type: "search", placeholder: "filter rows", "aria-label": "filter rows" });
      table.parentElement.before(box);
      box.addEventListener("input", () => {
        const words = box.value.toLowerCase();
        for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(words);
      });
    }
  }

  // Counted when the page is read: the sessions that follow are in the page, the day is the reader's.
  for (const age of document.querySelectorAll("[data-sessions]")) {
    const sessions = age.dataset.sessions.split(" ");
    const today = new Date().toISOString().slice(0, 10);
    const passed = sessions.filter((session) => session < today).length;
    const many = passed === sessions.length ? `at least ${passed}` : String(passed);
    const failed = passed > +age.dataset.fail;
    age.textContent = `${many} session${passed === 1 ? "" : "s"} old today${failed ? ": too old" : ""}`;
    if (passed > +age.dataset.warn) age.classList.add(failed ? "bad" : "old");
  }
})();
