-- One row per carrier and full hour: the flights that landed in the 24 hours up to it.
WITH landings AS (
    -- By the first full hour at or after the arrival, the earliest row that may include it.
    SELECT
        carrier,
        date_trunc('HOUR', actual_arrival + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND) AS hour,
        count(*) AS flights,
        sum(dep_delay) AS dep_delay,
        sum(arr_delay) AS arr_delay,
        count_if(arr_delay > 15) AS late
    FROM flights
    WHERE actual_arrival > :start_time - INTERVAL 25 HOURS
        AND actual_arrival < :end_time
    GROUP BY carrier, date_trunc('HOUR', actual_arrival + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND)
),

hours AS (
    -- The hours start a day before the window, because the sums of its first hours reach back that far.
    SELECT
        carrier,
        explode(
            sequence(
                date_trunc('HOUR', :start_time) - INTERVAL 24 HOURS,
                date_trunc('HOUR', :end_time - INTERVAL 1 MICROSECOND),
                INTERVAL 1 HOUR
            )
        ) AS hour
    FROM airlines
),

sums AS (
    SELECT
        hours.carrier,
        hours.hour,
        coalesce(sum(landings.flights) OVER last_24_hours, 0) AS flights,
        sum(landings.dep_delay) OVER last_24_hours AS dep_delay,
        sum(landings.arr_delay) OVER last_24_hours AS arr_delay,
        sum(landings.late) OVER last_24_hours AS late
    FROM hours
    LEFT JOIN landings ON landings.carrier = hours.carrier AND landings.hour = hours.hour
    WINDOW last_24_hours AS (
        PARTITION BY hours.carrier ORDER BY hours.hour
        RANGE BETWEEN INTERVAL 23 HOURS PRECEDING AND CURRENT ROW
    )
)

SELECT
    carrier,
    hour AS event_timestamp,
    -- A store that ran in 2013 would have learned it then; without this line, it learns it when the history is loaded.
    hour AS created_timestamp,
    flights AS flights_24h,
    try_divide(dep_delay, flights) AS mean_dep_delay_24h,
    try_divide(arr_delay, flights) AS mean_arr_delay_24h,
    try_divide(late, flights) AS late_share_24h
FROM sums
WHERE hour >= :start_time
