-- From an OMOP CDM 5.4 to the table of study.toml: one row per person, columns named as variables.
-- Standard SQL, the same in PostgreSQL and DuckDB. Put your schema before the tables' names where
-- they are not in the search path. Nothing of these rows leaves the site.

-- Index date: the first in- or outpatient visit (9201, 9202) inside a period of observation.
WITH entry AS (
    SELECT v.person_id, MIN(v.visit_start_date) AS index_date
    FROM visit_occurrence v
    JOIN observation_period o
      ON o.person_id = v.person_id
     AND v.visit_start_date BETWEEN o.observation_period_start_date
                                AND o.observation_period_end_date
    WHERE v.visit_concept_id IN (9201, 9202)
    GROUP BY v.person_id
),

-- The last value in the year before: systolic pressure (3004249) in mmHg (8876), total
-- cholesterol (3027114) in mg/dL (8840). Rows in another unit are left out, never mixed.
newest AS (
    SELECT
        m.person_id,
        m.measurement_concept_id,
        m.value_as_number,
        ROW_NUMBER() OVER (
            PARTITION BY m.person_id, m.measurement_concept_id
            ORDER BY m.measurement_date DESC, m.measurement_id DESC
        ) AS place
    FROM measurement m
    JOIN entry e ON e.person_id = m.person_id
    WHERE m.measurement_date BETWEEN e.index_date - INTERVAL '1' YEAR AND e.index_date
      AND m.value_as_number IS NOT NULL
      AND (
          (m.measurement_concept_id = 3004249 AND m.unit_concept_id = 8876)
          OR (m.measurement_concept_id = 3027114 AND m.unit_concept_id = 8840)
      )
)

SELECT
    EXTRACT(YEAR FROM e.index_date) - p.year_of_birth AS age,
    CASE p.gender_concept_id WHEN 8532 THEN 'f' WHEN 8507 THEN 'm' END AS sex,
    -- 4298794: smoker. No entry about smoking means unknown, not "no".
    (
        SELECT MAX(CASE WHEN o.value_as_concept_id = 4298794 THEN 1 ELSE 0 END)
        FROM observation o
        WHERE o.person_id = e.person_id
          AND o.observation_concept_id = 4275495
          AND o.observation_date <= e.index_date
    ) AS smoker,
    -- 201826: type 2 diabetes mellitus, known at the index date.
    CASE WHEN EXISTS (
        SELECT 1 FROM condition_occurrence c
        WHERE c.person_id = e.person_id
          AND c.condition_concept_id = 201826
          AND c.condition_start_date <= e.index_date
    ) THEN 1 ELSE 0 END AS diabetes,
    pressure.value_as_number AS systolic,
    cholesterol.value_as_number AS cholesterol,
    -- A statin begun in the month after.
    CASE WHEN EXISTS (
        SELECT 1
        FROM drug_exposure d
        JOIN concept k ON k.concept_id = d.drug_concept_id
        WHERE d.person_id = e.person_id
          AND k.domain_id = 'Drug'
          AND LOWER(k.concept_name) LIKE '%statin%'
          AND d.drug_exposure_start_date BETWEEN e.index_date
                                             AND e.index_date + INTERVAL '1' MONTH
    ) THEN 1 ELSE 0 END AS statin,
    -- Died within five years.
    CASE WHEN EXISTS (
        SELECT 1 FROM death x
        WHERE x.person_id = e.person_id
          AND x.death_date <= e.index_date + INTERVAL '5' YEAR
    ) THEN 1 ELSE 0 END AS died
FROM entry e
JOIN person p ON p.person_id = e.person_id
LEFT JOIN newest pressure
  ON pressure.person_id = e.person_id
 AND pressure.measurement_concept_id = 3004249 AND pressure.place = 1
LEFT JOIN newest cholesterol
  ON cholesterol.person_id = e.person_id
 AND cholesterol.measurement_concept_id = 3027114 AND cholesterol.place = 1
ORDER BY e.person_id
