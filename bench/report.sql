-- report.sql: one line per variant (and reference) of a case.
\pset footer off
\pset null ''

-- a ratio is the median of the ratios of the rounds, each to the same round's reference
WITH measured AS (
	SELECT "case", part, variant, min(position) AS position, count(*) AS rounds,
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY us)::numeric AS median, min(us) AS least, max(us) AS most,
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY wal)::numeric AS wal
	FROM bench.results WHERE "case" = :'case' GROUP BY 1, 2, 3
), ratios AS (
	SELECT a."case", a.part, a.variant, r.variant AS reference,
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY a.us / r.us)::numeric AS ratio
	FROM bench.results AS a JOIN bench.results AS r USING ("case", part, round)
	WHERE a."case" = :'case' GROUP BY 1, 2, 3, 4
), firsts AS (
	SELECT DISTINCT ON (part) part, variant FROM bench.results WHERE "case" = :'case' ORDER BY part, position
)
SELECT m."case" || ': ' || m.part AS "case", m.variant, round(m.median, 3) AS us, round(m.least, 3) AS min, round(m.most, 3) AS max,
	   m.rounds AS n, round(m.wal) AS "WAL B", round(f.ratio, 2) AS "x first", b.reference, round(l.ratio, 3) AS "x ref", b.bound,
	   CASE WHEN b.bound IS NULL THEN '' WHEN l.ratio <= b.bound THEN 'met' ELSE 'MISSED' END AS "?"
FROM measured AS m
JOIN firsts USING (part)
JOIN ratios AS f ON (f.part, f.variant, f.reference) = (m.part, m.variant, firsts.variant)
LEFT JOIN bench.bounds AS b ON (b."case", b.part, b.variant) = (m."case", m.part, m.variant)
LEFT JOIN ratios AS l ON (l.part, l.variant, l.reference) = (m.part, m.variant, b.reference)
ORDER BY min(m.position) OVER (PARTITION BY m.part), m.position, b.reference;
