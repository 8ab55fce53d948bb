-- One row per destination: how late its flights arrived, by hour of departure and by weather at departure. Each number
-- is the mean delay beyond that of all flights of the same hour, or in the same weather, in units of the standard
-- deviation of all delays. Ten flights without deviation are added to each, so that few flights give no extreme value.
WITH landed AS (
    SELECT
        flights.dest,
        flights.hour,
        flights.arr_delay,
        array_compact(
            array(
                CASE WHEN weather.visib < 3 THEN 'fog' END,
                CASE WHEN weather.precip > 0 THEN 'rain' END,
                CASE WHEN weather.wind_speed > 20 THEN 'wind' END,
                CASE WHEN weather.temp < 32 THEN 'frost' END,
                CASE WHEN weather.temp > 85 THEN 'heat' END,
                CASE WHEN weather.pressure < 1008 THEN 'low' END,
                CASE WHEN weather.humid > 90 THEN 'damp' END,
                CASE WHEN weather.visib >= 10 AND weather.precip = 0 THEN 'clear' END
            )
        ) AS conditions
    FROM flights
    LEFT JOIN weather ON weather.origin = flights.origin AND weather.time_hour = flights.time_hour
    WHERE flights.actual_arrival >= :start_time
        AND flights.actual_arrival < :end_time
        AND flights.arr_delay IS NOT NULL
),

situations AS (
    SELECT dest, arr_delay, concat('hour ', hour) AS situation FROM landed
    UNION ALL
    SELECT dest, arr_delay, explode(conditions) AS situation FROM landed
),

usual AS (
    SELECT situation, avg(arr_delay) AS delay FROM situations GROUP BY situation
),

spread AS (
    SELECT stddev(arr_delay) AS delay FROM landed
),

profiles AS (
    SELECT
        situations.dest,
        situations.situation,
        sum(situations.arr_delay - usual.delay) / (count(*) + 10) / any_value(spread.delay) AS deviation
    FROM situations
    INNER JOIN usual ON usual.situation = situations.situation
    CROSS JOIN spread
    GROUP BY situations.dest, situations.situation
),

by_situation AS (
    SELECT dest, map_from_entries(collect_list(struct(situation, deviation))) AS deviations
    FROM profiles
    GROUP BY dest
),

totals AS (
    SELECT dest, count(*) AS flights, avg(arr_delay) AS mean_arr_delay FROM landed GROUP BY dest
)

SELECT
    totals.dest AS airport,
    totals.flights,
    totals.mean_arr_delay,
    -- Departures from 5 to 23 o'clock, New York time.
    CAST(
        transform(
            concat(
                transform(sequence(5, 23), hour -> concat('hour ', hour)),
                array('fog', 'rain', 'wind', 'frost', 'heat', 'low', 'damp', 'clear')
            ),
            situation -> coalesce(by_situation.deviations[situation], 0)
        ) AS ARRAY<FLOAT>
    ) AS profile
FROM totals
INNER JOIN by_situation ON by_situation.dest = totals.dest
-- Fewer flights a year give no meaningful profile.
WHERE totals.flights >= 100
