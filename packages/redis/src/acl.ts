/**
 * Everything that our Redis user must be allowed, besides the keys and channels under the prefix: for `ACL SETUSER
 * peerage on >password ~pg:* &pg:* -@all <these>`. SPEC.md KEY3.
 */
export const aclRules: readonly string[] = [
  // Connecting, and checking the connection.
  '+@connection',
  '+info',
  // Which master serves which slot. Only used on a Cluster.
  '+cluster|slots',
  '+cluster|info',
  '+readonly',
  // Commands that are called directly. Scripts call some of them, too.
  '+del',
  '+eval',
  '+evalsha',
  '+get',
  '+hmget',
  '+mget',
  '+pttl',
  '+set',
  '+spublish',
  '+ssubscribe',
  '+sunsubscribe',
  // Commands that only scripts call.
  '+hdel',
  '+hget',
  '+hgetall',
  '+hset',
  '+lindex',
  '+llen',
  '+lrange',
  '+lset',
  '+pexpire',
  '+pexpireat',
  '+rpush',
  '+sadd',
  '+scard',
  '+srem',
  '+time',
  '+zadd',
  '+zcard',
  '+zcount',
  '+zincrby',
  '+zmscore',
  '+zrandmember',
  '+zrange',
  '+zrangebylex',
  '+zrangebyscore',
  '+zrank',
  '+zrem',
  '+zremrangebyscore',
  '+zscore',
]
