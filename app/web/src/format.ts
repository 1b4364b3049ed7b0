// How pages write sizes, times and numbers; as app/web/filters.py does.

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/** `12.3 MB`: in powers of 1000, as disks and browsers count. */
export function size(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${bytes} B`;
  return `${amount < 99.95 ? Number(amount.toPrecision(3)) : Math.round(amount)} ${units[unit]}`;
}

/** With thin spaces between groups of three digits. */
export function count(number: number): string {
  return number.toLocaleString("en-US").replaceAll(",", "\u2009");
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 24 * 3600],
  ["month", 30 * 24 * 3600],
  ["day", 24 * 3600],
  ["hour", 3600],
  ["minute", 60],
];

/** `3 hours ago`, `in 2 days`; of less than a minute `now`. */
export function ago(moment: Date, now: Date = new Date()): string {
  const seconds = (moment.getTime() - now.getTime()) / 1000;
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) {
      return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / length), unit);
    }
  }
  return "now";
}

/** `4 min 12 s`; of what takes longer than a day, the days and hours. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}
